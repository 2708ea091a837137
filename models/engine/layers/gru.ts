import { z } from "zod";
import { FusedActivation } from "../activations.ts";
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
import { droppedGru } from "./recurrent-dropout.ts";

const Config = () =>
  z.strictObject({
    ...recurrentOptions(),
    recurrent_activation: FusedActivation.default(3),
    // A file without the option is from before Keras had it: reset before.
    reset_after: z.boolean().nullish(),
  });

/** Gates z, r, h; bias (3H), or (2, 3H) when the reset comes after the product. */
export const gru: LayerKind = (layer) => {
  const config = parseRecurrent(Config, layer);
  const sequence = sequenceOf(config, sequenceShape(layer));
  const { T, C, H, sequences } = sequence;
  const G = 3 * H;
  const { activation: act, recurrent_activation: recAct } = config;
  const after = config.reset_after ?? false;
  const bias = weightOf(config, "bias", after ? [2, G] : [G]);
  return {
    name: layer.name,
    className: layer.className,
    ...sequencePlan(sequence, H),
    weights: [
      weightOf(config, "kernel", [C, G]),
      weightOf(config, "recurrent", [H, G], "recurrent_kernel"),
      ...((config.use_bias ?? true) ? [bias] : []),
    ],
    flops: T * 2 * (C + H) * G,
    bind(site) {
      const { kernels, maxBatch, allocate, output, weights, weightGradients, state, rows } = site;
      const { mask, dx, stepMask, trained, take, giveBack } = bindSequence(site, sequence);
      const [w = 0, r = 0, b = 0] = weights;
      const [dw = 0, dr = 0, db = 0] = weightGradients;
      const hs = sequences ? output.value : allocate(T * maxBatch * H); // (T, batch, H)
      const gates = allocate(T * maxBatch * G); // (T, batch, 3H)
      const inner = allocate(T * maxBatch * H); // (T, batch, H)
      const zeros = allocate(maxBatch * H); // (batch, H), never written
      const dh = allocate(maxBatch * H); // (batch, H)
      const du = allocate(maxBatch * H); // (batch, H)
      const aside = mask !== 0 ? allocate(maxBatch * H) : 0; // (batch, H)
      // Forward: [W; R] in two parts, (C+H,2H) and (C+H,H). Backward: R transposed, (3H,H).
      const packed = allocate(Math.max(panelFloats(C + H, 2 * H) + panelFloats(C + H, H), panelFloats(G, H)));
      const joined = allocate(G);
      const z = allocate(4 * H);
      const dropped =
        sequence.recurrentDropout > 0
          ? droppedGru(
              site,
              { ...sequence, gates: 3, w, r, b, dw, dr, db, hs, gateValues: gates, dx },
              { act, recAct, after, inner },
            )
          : null;
      return {
        forward(batch, training) {
          const x = take(batch, training);
          if (training && dropped) return dropped.forward(x, batch);
          kernels.gruForward(
            x,
            w,
            r,
            b,
            mask,
            hs,
            gates,
            inner,
            zeros,
            packed,
            joined,
            T,
            batch,
            C,
            H,
            act,
            recAct,
            after,
          );
          if (!sequences) kernels.copy(output.value, hs + (T - 1) * batch * H * 4, batch * H);
        },
        backward(batch) {
          if (dropped) {
            dropped.backward(trained, batch);
            return giveBack(batch);
          }
          kernels.gruBackward(
            trained,
            w,
            r,
            mask,
            hs,
            gates,
            inner,
            zeros,
            output.gradient,
            sequences,
            dh,
            du,
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
            after,
          );
          giveBack(batch);
        },
        step() {
          kernels.gruStep(rows.inputs[0]!, w, r, b, stepMask, state, z, zeros, C, H, act, recAct, after);
          kernels.copy(rows.output, state, H);
        },
      };
    },
  };
};
