import { z } from "zod";
import { FusedActivation } from "../activations.ts";
import type { Initializer } from "../initializers.ts";
import { sequenceShape, weightOf } from "./config.ts";
import type { LayerKind } from "./layer.ts";
import {
  bindSequence,
  panelFloats,
  parseRecurrent,
  recurrentOptions,
  sequenceOf,
  sequencePlan,
} from "./recurrent.ts";
import { droppedLstm } from "./recurrent-dropout.ts";

const Config = () =>
  z.strictObject({
    ...recurrentOptions(),
    recurrent_activation: FusedActivation.default(3),
    // tfjs writes null where it was not asked for; Keras leaves it out and means yes.
    unit_forget_bias: z.boolean().nullable().default(true),
  });

/** Gates i, f, c, o. */
export const lstm: LayerKind = (layer) => {
  const config = parseRecurrent(Config, layer);
  const sequence = sequenceOf(config, sequenceShape(layer));
  const { T, C, H, sequences } = sequence;
  const G = 4 * H;
  const { activation: act, recurrent_activation: recAct } = config;
  const initializeBias = config.unit_forget_bias
    ? withForgetBias(config.bias_initializer, H)
    : config.bias_initializer;
  return {
    name: layer.name,
    className: layer.className,
    ...sequencePlan(sequence, 2 * H),
    weights: [
      weightOf(config, "kernel", [C, G]),
      weightOf(config, "recurrent", [H, G], "recurrent_kernel"),
      ...((config.use_bias ?? true)
        ? [{ ...weightOf(config, "bias", [G]), initialize: initializeBias }]
        : []),
    ],
    flops: T * 2 * (C + H) * G,
    bind(site) {
      const { kernels, maxBatch, allocate, output, weights, weightGradients, state, rows } = site;
      const { mask, dx, stepMask, trained, take, giveBack } = bindSequence(site, sequence);
      const [w = 0, r = 0, b = 0] = weights;
      const [dw = 0, dr = 0, db = 0] = weightGradients;
      const hs = sequences ? output.value : allocate(T * maxBatch * H); // (T, batch, H)
      const gates = allocate(T * maxBatch * G); // (T, batch, 4H)
      const cells = allocate(T * maxBatch * H); // (T, batch, H)
      const squashed = allocate(T * maxBatch * H); // (T, batch, H)
      const zeros = allocate(maxBatch * H); // (batch, H), never written
      const dh = allocate(maxBatch * H); // (batch, H)
      const dc = allocate(maxBatch * H); // (batch, H)
      const aside = mask !== 0 ? allocate(2 * maxBatch * H) : 0; // (2, batch, H)
      const packed = allocate(Math.max(panelFloats(C + H, G), panelFloats(G, H))); // [W; R]; R transposed
      const z = allocate(5 * H);
      const dropped =
        sequence.recurrentDropout > 0
          ? droppedLstm(
              site,
              { ...sequence, gates: 4, w, r, b, dw, dr, db, hs, gateValues: gates, dx },
              { act, recAct, cells, squashed },
            )
          : null;
      return {
        forward(batch, training) {
          const x = take(batch, training);
          if (training && dropped) return dropped.forward(x, batch);
          kernels.lstmForward(
            x,
            w,
            r,
            b,
            mask,
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
          if (dropped) {
            dropped.backward(trained, batch);
            return giveBack(batch);
          }
          kernels.lstmBackward(
            trained,
            w,
            r,
            mask,
            hs,
            gates,
            cells,
            squashed,
            zeros,
            output.gradient,
            sequences,
            dh,
            dc,
            aside,
            dx,
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
          giveBack(batch);
        },
        step() {
          kernels.lstmStep(rows.inputs[0]!, w, r, b, stepMask, state, state + H * 4, z, C, H, act, recAct);
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
