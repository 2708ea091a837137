import { z } from "zod";
import { FleetError } from "../../../protocol/errors.ts";
import { sizeOf } from "../shape.ts";
import { common, off, parseConfig } from "./config.ts";
import type { LayerConfig, LayerKind } from "./layer.ts";
import { checkCount } from "./merge.ts";

const axis = z.int();
const Config = () =>
  z.strictObject({ ...common, axes: z.union([axis, z.tuple([axis, axis])]), normalize: off });

/**
 * The product of two tensors of each sample, summed over one axis of either: (time, channels) and (steps, channels) along their channels give
 * (time, steps). A tensor of one axis is one row; two of them give one number. Axes are counted with the batch's, which is 0.
 */
export const dot: LayerKind = (layer) => {
  const { axes } = parseConfig(Config, layer);
  checkCount(layer, 2);
  const [first, second] = Array.isArray(axes) ? axes : [axes, axes];
  const a = sideOf(layer, 0, first);
  const b = sideOf(layer, 1, second);
  if (a.inner !== b.inner)
    throw new FleetError(
      "BAD_INPUT",
      `layer "${layer.name}" (Dot): the axes to sum over have ${a.inner} and ${b.inner} places; they need as many`,
    );
  const [M, N, K] = [a.outer, b.outer, a.inner];
  const outputShape = [...(a.row ? [] : [M]), ...(b.row ? [] : [N])];
  const [ta, tb] = [a.turned, !b.turned];
  const [lda, ldb] = [ta ? M : K, tb ? K : N];
  return {
    name: layer.name,
    className: layer.className,
    severalInputs: true,
    order: "batch",
    outputShape: outputShape.length === 0 ? [1] : outputShape,
    weights: [],
    flops: 2 * M * N * K,
    stateFloats: null,
    mask: "drop",
    bind({ kernels, inputs, output }) {
      const [x, y] = [inputs[0]!, inputs[1]!];
      const at = (address: number, sample: number, floats: number) => address + sample * floats * 4;
      return {
        forward(batch) {
          for (let i = 0; i < batch; i++) {
            const [A, B] = [at(x.value, i, M * K), at(y.value, i, K * N)];
            kernels.gemm(ta, tb, M, N, K, A, lda, B, ldb, at(output.value, i, M * N), N, false, 0);
          }
        },
        backward(batch) {
          for (let i = 0; i < batch; i++) {
            const [A, B] = [at(x.value, i, M * K), at(y.value, i, K * N)];
            const dC = at(output.gradient, i, M * N);
            if (x.gradient !== 0) {
              const dA = at(x.gradient, i, M * K);
              if (ta) kernels.gemm(tb, true, K, M, N, B, ldb, dC, N, dA, M, false, 0);
              else kernels.gemm(false, !tb, M, K, N, dC, N, B, ldb, dA, K, false, 0);
            }
            if (y.gradient !== 0) {
              const dB = at(y.gradient, i, K * N);
              if (tb) kernels.gemm(true, ta, N, K, M, dC, N, A, lda, dB, K, false, 0);
              else kernels.gemm(!ta, false, K, N, M, A, lda, dC, N, dB, N, false, 0);
            }
          }
        },
      };
    },
  };
};

/** An input as a matrix. `turned`: what is summed over stands in the rows, (inner, outer); else (outer, inner). */
interface Side {
  readonly inner: number;
  readonly outer: number;
  readonly turned: boolean;
  /** Of one axis: one row. */
  readonly row: boolean;
}

function sideOf({ name, inputShapes }: LayerConfig, input: 0 | 1, axis: number): Side {
  const shape = inputShapes[input]!;
  const rank = shape.length;
  if (rank > 2)
    throw new FleetError(
      "UNSUPPORTED",
      `layer "${name}" (Dot): the engine takes tensors of one or two axes, but an input is (${shape.join(", ")})`,
    );
  const place = axis < 0 ? axis + rank + 1 : axis;
  if (place < 1 || place > rank)
    throw new FleetError(
      "BAD_INPUT",
      `layer "${name}" (Dot): axis ${axis} is none of (batch, ${shape.join(", ")}), or the batch's`,
    );
  const inner = shape[place - 1]!;
  return { inner, outer: sizeOf(shape) / inner, turned: rank === 2 && place === 1, row: rank === 1 };
}
