import { z } from "zod";
import { FleetError } from "../../../protocol/errors.ts";
import { common, parseConfig } from "./config.ts";
import { gru } from "./gru.ts";
import type { LayerConfig, LayerKind, LayerPlan, Site, Tensor } from "./layer.ts";
import { lstm } from "./lstm.ts";
import { inside, Nested } from "./nested.ts";
import { rnn } from "./rnn.ts";
import { simpleRnn } from "./simple-rnn.ts";

const INNER: Readonly<Record<string, LayerKind>> = { GRU: gru, LSTM: lstm, RNN: rnn, SimpleRNN: simpleRnn };

/** The kernels' numbers, models/kernels/assembly/sequence.ts. */
const MERGE_MODES = { concat: 0, sum: 1, ave: 2, mul: 3 } as const;

const Config = () =>
  z.strictObject({
    ...common,
    merge_mode: z.enum(Object.keys(MERGE_MODES) as (keyof typeof MERGE_MODES)[]).default("concat"),
    layer: Nested,
    /** Keras writes it always; where it is not, it is the forward layer turned round. */
    backward_layer: Nested.nullish(),
  });

/** A recurrent layer over the sequence as it is, and one from its end: their outputs, step by step, become one. */
export const bidirectional: LayerKind = (layer) => {
  const config = parseConfig(Config, layer);
  const forward = direction(layer, config.layer, "forward_");
  const backward = direction(layer, config.backward_layer ?? turned(config.layer), "backward_");
  if (goesBackwards(config.layer) === goesBackwards(config.backward_layer ?? turned(config.layer)))
    throw bad(layer, "both directions go the same way; set go_backwards on backward_layer");
  const shape = forward.outputShape;
  if (shape.join() !== backward.outputShape.join())
    throw bad(layer, `the directions give (${shape.join(", ")}) and (${backward.outputShape.join(", ")})`);
  const mode = MERGE_MODES[config.merge_mode];
  const H = shape.at(-1)!;
  const T = shape.length === 2 ? shape[0]! : 1;
  const [steps, channels] = layer.inputShape;
  const inputSize = steps! * channels!;
  const weightsOf = ({ name, weights }: LayerPlan) =>
    weights.map((weight) => ({ ...weight, name: `${name}/${weight.name}` }));
  return {
    name: layer.name,
    className: layer.className,
    order: "time",
    outputShape: config.merge_mode === "concat" ? [...shape.slice(0, -1), 2 * H] : shape,
    weights: [...weightsOf(forward), ...weightsOf(backward)],
    flops: forward.flops + backward.flops,
    stateFloats: null,
    mask: forward.mask!,
    bind(site) {
      const { kernels, maxBatch, allocate, output } = site;
      const input = site.inputs[0]!;
      const half = (): Tensor => ({
        shape,
        value: allocate(T * maxBatch * H),
        gradient: allocate(T * maxBatch * H),
        mask: 0,
      });
      const second = { ...input, gradient: input.gradient === 0 ? 0 : allocate(maxBatch * inputSize) };
      const count = forward.weights.length;
      const a = half(); // (T, batch, H), first step first
      const b = half(); // (T, batch, H), last step first
      const there = forward.bind(part(site, { input, output: a, from: 0, to: count }));
      const back = backward.bind(part(site, { input: second, output: b, from: count }));
      return {
        forward(batch, training) {
          there.forward(batch, training);
          back.forward(batch, training);
          kernels.mergeDirections(a.value, b.value, output.value, T, batch, H, mode);
        },
        backward(batch) {
          kernels.mergeDirectionsBackward(
            a.value,
            b.value,
            output.gradient,
            a.gradient,
            b.gradient,
            T,
            batch,
            H,
            mode,
          );
          there.backward(batch);
          back.backward(batch);
          if (input.gradient !== 0) kernels.addTo(input.gradient, second.gradient, batch * inputSize);
        },
      };
    },
  };
};

function direction(layer: LayerConfig, inner: Nested, prefix: string): LayerPlan {
  const kind = INNER[inner.class_name];
  if (kind === undefined)
    throw new FleetError(
      "UNSUPPORTED",
      `layer "${layer.name}" (Bidirectional): the engine has it of ${Object.keys(INNER).join(", ")}, not of ${inner.class_name}`,
    );
  // Keras writes the name with the prefix that it has already.
  const name = inner.config.name ?? inner.class_name.toLowerCase();
  return kind(inside(layer, inner, { name: name.startsWith(prefix) ? name : prefix + name }));
}

function goesBackwards({ config }: Nested): boolean {
  return config.go_backwards === true;
}

function turned(inner: Nested): Nested {
  const name = inner.config.name?.replace(/^forward_/, "");
  return { ...inner, config: { ...inner.config, name, go_backwards: !goesBackwards(inner) } };
}

/** The site of one direction: its share of the weights, the rest in common. */
function part(
  site: Site,
  share: { readonly input: Tensor; readonly output: Tensor; readonly from: number; readonly to?: number },
): Site {
  const { input, output, from, to } = share;
  return {
    ...site,
    inputs: [input],
    output,
    weights: site.weights.slice(from, to),
    weightGradients: site.weightGradients.slice(from, to),
  };
}

function bad(layer: LayerConfig, message: string): FleetError {
  return new FleetError("BAD_INPUT", `layer "${layer.name}" (Bidirectional): ${message}`);
}
