import { sizeOf } from "../shape.ts";
import { CONV_SHAPE_FLOATS, describe, type Geometry } from "./conv-geometry.ts";
import type { LayerPlan, QuantizedKernel } from "./layer.ts";

/** Rows that models/kernels/assembly/int8.ts works on at a time. */
const ROWS = 64;
/** Depth up to which the kernels' sums fit 32 bits: 65536 * 255 * 127 < 2^31. */
const MAX_DEPTH = 65_536;

/** Lets a layer that is a convolution (dense: with a kernel of one element) with "kernel" and perhaps "bias" be computed in 8-bit integers. */
export function quantizable(plan: LayerPlan, geometry: Geometry, code: number): LayerPlan {
  const { input, output, kernel } = geometry;
  const depth = kernel[0] * kernel[1] * input[2];
  if (depth > MAX_DEPTH) return plan;
  return {
    ...plan,
    quantized: (weight) => quantizedPlan(plan, { geometry, code, weight, depth, N: output[2] }),
  };
}

interface Product {
  readonly geometry: Geometry;
  readonly code: number;
  readonly weight: QuantizedKernel;
  readonly depth: number;
  readonly N: number;
}

function quantizedPlan(plan: LayerPlan, { geometry, code, weight, depth, N }: Product): LayerPlan {
  const { packed, scales, input } = weight;
  return {
    ...plan,
    weights: plan.weights.filter(({ name }) => name !== "kernel"),
    stateFloats: null,
    bind({ kernels, allocate, inputs, output, weights: [b = 0] }) {
      const shape = allocate(CONV_SHAPE_FLOATS);
      const w = allocate(packed.length / 4);
      const s = allocate(N);
      // i16, so two a float: an image or the rows of one element, then patches, and what is read and written past them.
      const image = Math.max(sizeOf(geometry.input), ROWS * geometry.input[2]);
      const scratch = allocate(Math.ceil((image + ROWS * (depth + 8)) / 2) + 16);
      let isPlaced = false;
      return {
        forward(batch) {
          if (!isPlaced) {
            // The memory has grown to its size only now.
            const { buffer } = kernels.memory;
            new Int8Array(buffer, w, packed.length).set(packed);
            const steps = new Float32Array(buffer, s, N);
            for (let n = 0; n < N; n++) steps[n] = scales[n]! * input.scale;
            describe(kernels, shape, geometry);
            isPlaced = true;
          }
          const { scale, lo, hi } = input;
          kernels.convForward8(
            shape,
            inputs[0]!.value,
            w,
            s,
            b,
            output.value,
            batch,
            code,
            1 / scale,
            lo,
            hi,
            scratch,
          );
        },
        backward() {
          throw new Error("a quantized layer is for inference only");
        },
      };
    },
  };
}
