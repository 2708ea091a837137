import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { backpropagate, machineFor, relativeError } from "./support.ts";

// tfjs has no attention: what Keras itself computed stands in a file, with the script that wrote it beside it.

interface Case {
  readonly name: string;
  readonly topology: unknown;
  readonly layout: readonly { readonly name: string; readonly shape: readonly number[] }[];
  readonly weights: readonly number[];
  readonly inputs: readonly (readonly number[])[];
  readonly targets: readonly (number | null)[];
  readonly outputs: readonly number[];
  readonly gradients: readonly number[];
}

const CASES = readFileSync(new URL("keras/attention.jsonl", import.meta.url), "utf8")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line) as Case);

const BATCH = 3;

describe("engine against Keras", () => {
  it.each(CASES)("layout, outputs and all gradients agree: $name", async (given) => {
    const machine = await machineFor(given.topology, BATCH + 2);
    expect(machine.plan.layout).toEqual(given.layout);
    machine.weights.set(given.weights);
    given.inputs.forEach((input, i) => void machine.inputs[i]!.at(BATCH).set(input));
    machine.checkInput(BATCH);
    machine.forward(BATCH, false);
    expect(relativeError(machine.outputs[0]!.at(BATCH), given.outputs), "outputs").toBeLessThan(2e-5);

    const targets = Float32Array.from(given.targets, (target) => target ?? Number.NaN);
    const { gradients } = backpropagate(machine, BATCH, Float32Array.from(given.inputs[0]!), targets);
    // A bias of all keys alike changes nothing: its gradient is rounding.
    const floor = 1e-2 * Math.max(...given.gradients.map(Math.abs));
    let offset = 0;
    for (const { name, shape } of given.layout) {
      const size = shape.reduce((product, axis) => product * axis, 1);
      const expected = given.gradients.slice(offset, offset + size);
      if (expected.length === 0) break; // what is not trained stands last
      expect(relativeError(gradients.subarray(offset, offset + size), expected, floor), name).toBeLessThan(
        1e-4,
      );
      offset += size;
    }
    expect(offset).toBe(given.gradients.length);
  });
});
