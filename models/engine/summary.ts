import type { Machine } from "./machine.ts";
import { sizeOf } from "./shape.ts";

/** A table of the layers, then the totals. FLOPs are of one sample's forward pass. */
export function summaryOf({ plan, arenaBytes, maxBatch }: Machine): string {
  const header = ["layer", "output", "parameters", "FLOPs"];
  const rows = plan.steps.map(({ layer }) => [
    `${layer.name} (${layer.className})`,
    `(${layer.outputShape.join(", ")})`,
    String(layer.weights.reduce((sum, weight) => sum + sizeOf(weight.shape), 0)),
    String(layer.flops),
  ]);
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]) =>
    cells.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  ");
  const flops = plan.steps.reduce((sum, { layer }) => sum + layer.flops, 0);
  return [
    `${plan.name}: input (${plan.inputShape.join(", ")}), output (${plan.outputShape.join(", ")})`,
    line(header),
    widths.map((width) => "-".repeat(width)).join("  "),
    ...rows.map(line),
    `parameters ${plan.parameters}, FLOPs ${flops}, arena ${arenaBytes} bytes for batches of up to ${maxBatch}`,
  ].join("\n");
}
