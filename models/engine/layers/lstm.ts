import { z } from "zod";
import { FusedActivation } from "../activations.ts";
import type { Initializer } from "../initializers.ts";
import { parseConfig, sequenceShape, weightOf } from "./config.ts";
import type { LayerKind } from "./layer.ts";
import { packedFloats, recurrentOptions } from "./recurrent.ts";

const Config = z.strictObject({
  ...recurrentOptions,
  recurrent_activation: FusedActivation.default(3),
  // tfjs writes null where it was not asked for; Keras leaves it out and means yes.
  unit_forget_bias: z.boolean().nullable().default(true),
});

/** Gates i, f, c, o. */
export const lstm: LayerKind = (layer) => {
  const config = parseConfig(Config, layer);
  const [T, C] = sequenceShape(layer);
  const H = config.units;
  const G = 4 * H;
  const { activation: act, recurrent_activation: recAct } = config;
  const sequences = config.return_sequences ?? false;
  const initializeBias = config.unit_forget_bias
    ? withForgetBias(config.bias_initializer, H)
    : config.bias_initializer;
  return {
    name: layer.name,
    className: layer.className,
    order: "time",
    outputShape: sequences ? [T, H] : [H],
    weights: [
      weightOf(config, "kernel", [C, G]),
      weightOf(config, "recurrent", [H, G], "recurrent_kernel"),
      ...((config.use_bias ?? true)
        ? [{ ...weightOf(config, "bias", [G]), initialize: initializeBias }]
        : []),
    ],
    flops: T * 2 * (C + H) * G,
    stateFloats: 2 * H,
    bind({ kernels, maxBatch, allocate, inputs, output, weights, weightGradients, state, rows }) {
      const input = inputs[0]!;
      const [w = 0, r = 0, b = 0] = weights;
      const [dw = 0, dr = 0, db = 0] = weightGradients;
      const hs = sequences ? output.value : allocate(T * maxBatch * H); // (T, batch, H)
      const gates = allocate(T * maxBatch * G); // (T, batch, 4H)
      const cells = allocate(T * maxBatch * H); // (T, batch, H)
      const squashed = allocate(T * maxBatch * H); // (T, batch, H)
      const zeros = allocate(maxBatch * H); // (batch, H), never written
      const dh = allocate(maxBatch * H); // (batch, H)
      const dc = allocate(maxBatch * H); // (batch, H)
      const packed = allocate(Math.max(packedFloats(H, G), packedFloats(G, H)));
      const z = allocate(5 * H);
      return {
        forward(batch) {
          kernels.lstmForward(
            input.value,
            w,
            r,
            b,
            hs,
            gates,
            cells,
            squashed,
            zeros,
            packed,
            T,
            batch,
            C,
            H,
            act,
            recAct,
          );
          if (!sequences) kernels.copy(output.value, hs + (T - 1) * batch * H * 4, batch * H);
        },
        backward(batch) {
          kernels.lstmBackward(
            input.value,
            w,
            r,
            hs,
            gates,
            cells,
            squashed,
            zeros,
            output.gradient,
            sequences,
            dh,
            dc,
            input.gradient,
            dw,
            dr,
            db,
            packed,
            T,
            batch,
            C,
            H,
            act,
            recAct,
          );
        },
        step() {
          kernels.lstmStep(rows.inputs[0]!, w, r, b, state, state + H * 4, z, C, H, act, recAct);
          kernels.copy(rows.output, state, H);
        },
      };
    },
  };
};

/** Ones for the forget gate, so that a fresh cell remembers. Source: Jozefowicz et al. 2015. */
function withForgetBias(initialize: Initializer, H: number): Initializer {
  return (out, shape, random) => {
    initialize(out, shape, random);
    out.fill(1, H, 2 * H);
  };
}
