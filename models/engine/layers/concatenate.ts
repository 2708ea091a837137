import { z } from "zod";
import { FleetError } from "../../../protocol/errors.ts";
import { sizeOf } from "../shape.ts";
import { common, parseConfig } from "./config.ts";
import type { LayerKind, Site } from "./layer.ts";
import { checkCount, checkMasks, mergeMasks } from "./merge.ts";

const Config = () => z.strictObject({ ...common, axis: z.int().default(-1) });

/** The inputs one behind the other along one axis, counted with the batch as axis 0, or from the end. */
export const concatenate: LayerKind = (layer) => {
  const config = parseConfig(Config, layer);
  const { name, className, inputShapes, inputShape } = layer;
  checkCount(layer, null);
  const rank = inputShape.length;
  const axis = config.axis < 0 ? rank + config.axis : config.axis - 1; // of a sample
  const fits = inputShapes.every(
    (shape) => shape.length === rank && shape.every((size, i) => i === axis || size === inputShape[i]),
  );
  if (axis < 0 || axis >= rank || !fits) {
    const shapes = inputShapes.map((shape) => `(${shape.join(", ")})`).join(", ");
    throw new FleetError(
      "BAD_INPUT",
      `layer "${name}" (${className}) can't join ${shapes} along axis ${config.axis}; all other sizes must be equal, and axis 0 is the batch`,
    );
  }
  const outputShape = inputShape.map((size, i) =>
    i === axis ? inputShapes.reduce((sum, shape) => sum + shape[axis]!, 0) : size,
  );
  const outer = sizeOf(outputShape.slice(0, axis)); // of one sample
  const widths = inputShapes.map((shape) => sizeOf(shape.slice(axis)));
  const width = sizeOf(outputShape.slice(axis));
  const isLast = axis === rank - 1;
  // Along time the masks too stand one behind the other.
  const alongTime = axis === 0 && rank > 1;
  return {
    name,
    className,
    severalInputs: true,
    order: isLast ? "any" : "batch",
    outputShape,
    weights: [],
    flops: 0,
    stateFloats: isLast && rank <= 2 ? 0 : null,
    mask: "merge",
    bind(site) {
      if (!alongTime) checkMasks(layer, site);
      const { kernels, inputs, output, rows } = site;
      return {
        forward(batch) {
          const count = batch * outer;
          let to = output.value;
          for (let i = 0; i < inputs.length; i++) {
            const own = widths[i]!;
            kernels.copyBlocks(inputs[i]!.value, 0, own, to, 0, width, 1, count, own);
            to += own * 4;
          }
          if (alongTime) joinMasks(site, batch);
          else mergeMasks(site, batch * outputShape[0]!);
        },
        backward(batch) {
          const count = batch * outer;
          let from = output.gradient;
          for (let i = 0; i < inputs.length; i++) {
            const { gradient } = inputs[i]!;
            const own = widths[i]!;
            if (gradient !== 0) kernels.copyBlocks(from, 0, width, gradient, 0, own, 1, count, own);
            from += own * 4;
          }
        },
        step() {
          let to = rows.output;
          for (let i = 0; i < inputs.length; i++) {
            kernels.copy(to, rows.inputs[i]!, widths[i]!);
            to += widths[i]! * 4;
          }
          mergeMasks(site, 1);
        },
      };
    },
  };
};

/** Where an input has no mask, all its steps count. */
function joinMasks({ kernels, inputs, output }: Site, batch: number): void {
  if (output.mask === 0) return;
  const total = output.shape[0]!;
  kernels.fill(output.mask, batch * total, 1);
  let to = output.mask;
  for (const { mask, shape } of inputs) {
    const own = shape[0]!;
    if (mask !== 0) kernels.copyBlocks(mask, 0, own, to, 0, total, 1, batch, own);
    to += own * 4;
  }
}
