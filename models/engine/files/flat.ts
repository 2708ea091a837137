import { FleetError } from "../../../protocol/errors.ts";
import { type Layout, type Shape, sizeOf } from "../shape.ts";

/** One weight as a file has it. */
export interface NamedTensor {
  readonly name: string;
  readonly shape: Shape;
  readonly values: Float32Array;
}

/** The flat array of `layout`; `find` gives the file's tensor for each weight. Throws BAD_INPUT, BAD_SHAPE. */
export function flatWeights(
  layout: Layout,
  find: (weight: Layout[number], index: number) => NamedTensor | undefined,
): Float32Array {
  const flat = new Float32Array(layout.reduce((sum, { shape }) => sum + sizeOf(shape), 0));
  let offset = 0;
  layout.forEach((weight, i) => {
    const tensor = find(weight, i);
    if (tensor === undefined)
      throw new FleetError("BAD_INPUT", `the file has no weight for ${weight.name}; export the model again`);
    if (tensor.shape.join() !== weight.shape.join()) {
      throw new FleetError(
        "BAD_SHAPE",
        `the file's weight ${tensor.name} has shape (${tensor.shape.join(", ")}), the model's ${weight.name} has (${weight.shape.join(", ")})`,
      );
    }
    flat.set(tensor.values, offset);
    offset += tensor.values.length;
  });
  return flat;
}
