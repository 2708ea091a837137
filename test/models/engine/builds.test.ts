import { describe, expect, it } from "vitest";
import { compile } from "../../../models/engine/index.ts";
import { builds, kernelModule } from "../../../models/kernels/load.ts";
import { layer, randomFloats, relativeError, sequential } from "./support.ts";

const STACK = sequential(
  [9, 5],
  layer("Masking"),
  layer("LSTM", { units: 21, return_sequences: true }),
  layer("Bidirectional", {
    layer: layer("GRU", { units: 7, reset_after: true, return_sequences: true }),
  }),
  layer("GRU", { units: 9, reset_after: false, return_sequences: true }),
  layer("SimpleRNN", { units: 18 }),
  layer("Dense", { units: 3 }),
);

describe("builds of the kernels", () => {
  it("the scalar one runs everywhere; the relaxed one is preferred where the runtime has its instructions", () => {
    const [major] = process.versions.node.split(".").map(Number);
    expect(builds().slice(-2)).toEqual(["plain", "scalar"]);
    // V8 has them without a flag from 11.4 on.
    if (major! >= 22) expect(builds()).toEqual(["relaxed", "plain", "scalar"]);
  });

  it("each gives the same predictions and trains to the same weights, within rounding", async () => {
    const x = randomFloats(13 * 45, 1, 2);
    const y = randomFloats(13 * 3, 2);
    const results = await Promise.all(
      builds().map(async (build) => {
        const model = await compile(STACK, { seed: 3, module: await kernelModule(build) });
        const before = model.predict(x);
        const options = { epochs: 3, batchSize: 5, loss: "mse", seed: 1 } as const;
        await model.fit(x, y, { ...options, optimizer: { name: "sgd", learningRate: 0.1 } });
        return { before, weights: model.weights() };
      }),
    );
    const [first] = results;
    for (const { before, weights } of results) {
      expect(relativeError(before, first!.before)).toBeLessThan(1e-5);
      expect(relativeError(weights, first!.weights)).toBeLessThan(1e-5);
    }
  });

  it.each(builds())("gates stay between 0 and 1 for the largest inputs (%s)", async (build) => {
    for (const name of ["LSTM", "GRU", "SimpleRNN"]) {
      const topology = sequential([4, 3], layer(name, { units: 6, return_sequences: true }));
      const model = await compile(topology, { seed: 1, module: await kernelModule(build) });
      const x = randomFloats(12, 1).map((value) => value * 3e38);
      for (const value of model.predict(x)) expect(Math.abs(value)).toBeLessThanOrEqual(1);
    }
  });
});
