import { z } from "zod";
import { parseConfig, sequenceShape, weightOf } from "./config.ts";
import type { LayerKind } from "./layer.ts";
import { packedFloats, recurrentOptions } from "./recurrent.ts";

const Config = z.strictObject(recurrentOptions);

/** h_t = f(x_t W + h_{t-1} R + b) */
export const simpleRnn: LayerKind = (layer) => {
  const config = parseConfig(Config, layer);
  const [T, C] = sequenceShape(layer);
  const H = config.units;
  const act = config.activation;
  const sequences = config.return_sequences ?? false;
  const bias = weightOf(config, "bias", [H]);
  return {
    name: layer.name,
    className: layer.className,
    order: "time",
    outputShape: sequences ? [T, H] : [H],
    weights: [
      weightOf(config, "kernel", [C, H]),
      weightOf(config, "recurrent", [H, H], "recurrent_kernel"),
      ...((config.use_bias ?? true) ? [bias] : []),
    ],
    flops: T * 2 * (C + H) * H,
    stateFloats: H,
    bind({ kernels, maxBatch, allocate, inputs, output, weights, weightGradients, state, rows }) {
      const input = inputs[0]!;
      const [w = 0, r = 0, b = 0] = weights;
      const [dw = 0, dr = 0, db = 0] = weightGradients;
      const hs = sequences ? output.value : allocate(T * maxBatch * H); // (T, batch, H)
      const dz = allocate(T * maxBatch * H); // (T, batch, H)
      const packed = allocate(packedFloats(H, H));
      const z = allocate(H);
      return {
        forward(batch) {
          kernels.rnnForward(input.value, w, r, b, hs, packed, T, batch, C, H, act);
          if (!sequences) kernels.copy(output.value, hs + (T - 1) * batch * H * 4, batch * H);
        },
        backward(batch) {
          kernels.rnnBackward(
            input.value,
            w,
            r,
            hs,
            output.gradient,
            sequences,
            dz,
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
          );
        },
        step() {
          kernels.rnnStep(rows.inputs[0]!, w, r, b, state, z, C, H, act);
          kernels.copy(rows.output, state, H);
        },
      };
    },
  };
};
