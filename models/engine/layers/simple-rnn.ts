import { z } from "zod";
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
import { droppedRnn } from "./recurrent-dropout.ts";

const Config = () => z.strictObject(recurrentOptions());

/** h_t = f(x_t W + h_{t-1} R + b) */
export const simpleRnn: LayerKind = (layer) => {
  const config = parseRecurrent(Config, layer);
  const sequence = sequenceOf(config, sequenceShape(layer));
  const { T, C, H, sequences } = sequence;
  const act = config.activation;
  const bias = weightOf(config, "bias", [H]);
  return {
    name: layer.name,
    className: layer.className,
    ...sequencePlan(sequence, H),
    weights: [
      weightOf(config, "kernel", [C, H]),
      weightOf(config, "recurrent", [H, H], "recurrent_kernel"),
      ...((config.use_bias ?? true) ? [bias] : []),
    ],
    flops: T * 2 * (C + H) * H,
    bind(site) {
      const { kernels, maxBatch, allocate, output, weights, weightGradients, state, rows } = site;
      const { mask, dx, stepMask, trained, take, giveBack } = bindSequence(site, sequence);
      const [w = 0, r = 0, b = 0] = weights;
      const [dw = 0, dr = 0, db = 0] = weightGradients;
      const hs = sequences ? output.value : allocate(T * maxBatch * H); // (T, batch, H)
      const dz = allocate(T * maxBatch * H); // (T, batch, H)
      const zeros = allocate(maxBatch * H); // (batch, H), never written
      const aside = mask !== 0 ? allocate(maxBatch * H) : 0; // (batch, H)
      const packed = allocate(panelFloats(C + H, H)); // [W; R]; R transposed
      const z = allocate(H);
      const dropped =
        sequence.recurrentDropout > 0
          ? droppedRnn(site, { ...sequence, gates: 1, w, r, b, dw, dr, db, hs, gateValues: dz, dx }, act)
          : null;
      return {
        forward(batch, training) {
          const x = take(batch, training);
          if (training && dropped) return dropped.forward(x, batch);
          kernels.rnnForward(x, w, r, b, mask, hs, zeros, packed, T, batch, C, H, act);
          if (!sequences) kernels.copy(output.value, hs + (T - 1) * batch * H * 4, batch * H);
        },
        backward(batch) {
          if (dropped) {
            dropped.backward(trained, batch);
            return giveBack(batch);
          }
          kernels.rnnBackward(
            trained,
            w,
            r,
            mask,
            hs,
            output.gradient,
            sequences,
            dz,
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
          );
          giveBack(batch);
        },
        step() {
          kernels.rnnStep(rows.inputs[0]!, w, r, b, stepMask, state, z, C, H, act);
          kernels.copy(rows.output, state, H);
        },
      };
    },
  };
};
