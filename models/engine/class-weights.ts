import { FleetError } from "../../protocol/errors.ts";
import type { Loss } from "./loss-spec.ts";
import type { Shape } from "./shape.ts";

/** By the number of the class; a class that is left out of a record counts 1. */
export type ClassWeights = readonly number[] | Readonly<Record<string, number>>;

/** One weight a class, two for a single binary output. Throws BAD_INPUT where the targets are no classes. */
export function classTable(
  outputs: readonly { readonly shape: Shape }[],
  each: readonly Loss[],
  given: ClassWeights,
): Float32Array {
  const [loss, ...others] = each;
  const cols = outputs[0]!.shape.at(-1)!;
  const binary = loss!.name === "binaryCrossentropy" && cols === 1;
  if (others.length > 0)
    throw new FleetError("BAD_INPUT", "classWeights need a model of one output; give sampleWeights instead");
  if (!binary && loss!.name !== "categoricalCrossentropy" && loss!.name !== "sparseCategoricalCrossentropy")
    throw new FleetError(
      "BAD_INPUT",
      `classWeights need targets that are classes, ${loss!.name} of ${cols} columns has none; give sampleWeights instead`,
    );
  const classes = binary ? 2 : cols;
  const stray = Object.keys(given).find((key) => !(Number(key) >= 0 && Number(key) < classes));
  if (stray !== undefined)
    throw new FleetError(
      "BAD_INPUT",
      `classWeights has a class ${stray}, the classes are 0 to ${classes - 1}`,
    );
  const table = new Float32Array(Math.max(2, cols)).fill(1);
  for (const [key, weight] of Object.entries(given)) table[Number(key)] = weight;
  return table;
}
