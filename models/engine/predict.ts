import { FleetError } from "../../protocol/errors.ts";
import { countOf, type Ends } from "./samples.ts";

/** What layers derived from the weights, as the last `predict` left it. Whoever writes weights, or calls `backward`, sets `kept` to false. */
export interface Derived {
  kept: boolean;
}

/** The outputs for any number of samples, in batches. x: (n, ...inputShape), one array an input. Throws BAD_SHAPE, NOT_FINITE. */
export function predict(
  machine: Ends & {
    readonly maxBatch: number;
    forward(batch: number, training: boolean, kept: boolean): void;
  },
  xs: readonly Float32Array[],
  derived: Derived = { kept: false },
): Float32Array[] {
  const { maxBatch, inputs, outputs } = machine;
  const count = countOf(machine, xs);
  const results = outputs.map(({ size }) => new Float32Array(count * size));
  for (let start = 0; start < count; start += maxBatch) {
    const batch = Math.min(maxBatch, count - start);
    inputs.forEach((input, i) => {
      input.at(batch).set(xs[i]!.subarray(start * input.size, (start + batch) * input.size));
    });
    machine.checkInput(batch);
    machine.forward(batch, false, derived.kept);
    derived.kept = true;
    outputs.forEach((output, i) => {
      results[i]!.set(output.at(batch), start * output.size);
    });
  }
  return results;
}

/** The first output for one sample, where it stands in the arena. Nothing is allocated. Throws BAD_SHAPE, NOT_FINITE. */
export function predictOne(
  machine: Ends & { forward(batch: number, training: boolean, kept: boolean): void },
  x: Float32Array,
  derived: Derived,
): Float32Array {
  const input = machine.inputs[0]!;
  if (machine.inputs.length > 1 || x.length !== input.size)
    throw new FleetError(
      "BAD_SHAPE",
      `one sample of ${x.length} values was given, the model takes ${machine.inputs.map(({ size }) => size).join(" and ")}`,
    );
  input.at(1).set(x);
  machine.checkInput(1);
  machine.forward(1, false, derived.kept);
  derived.kept = true;
  return machine.outputs[0]!.at(1);
}
