import { type Shape, sizeOf } from "../shape.ts";
import type { LayerPlan } from "./layer.ts";

/** Not in any topology: the plan puts it where a tensor lies in one order and the next layer wants the other. */
export function reorder(shape: Shape, to: "batch" | "time"): LayerPlan {
  const time = shape[0]!;
  const inner = sizeOf(shape.slice(1));
  return {
    name: `to_${to}_major`,
    className: "Reorder",
    order: to,
    outputShape: shape,
    weights: [],
    flops: 0,
    stateFloats: 0,
    bind({ kernels, inputs, output, rows }) {
      const input = inputs[0]!;
      return {
        forward(batch) {
          const [rows, columns] = to === "time" ? [batch, time] : [time, batch];
          kernels.reorder(input.value, output.value, rows, columns, inner);
        },
        backward(batch) {
          if (input.gradient === 0) return;
          const [rows, columns] = to === "time" ? [time, batch] : [batch, time];
          kernels.reorder(output.gradient, input.gradient, rows, columns, inner);
        },
        step() {
          kernels.copy(rows.output, rows.inputs[0]!, inner);
        },
      };
    },
  };
}
