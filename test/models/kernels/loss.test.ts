import { describe, expect, it } from "vitest";
import type { Kernels } from "../../../models/kernels/load.ts";
import { pointwise, rowwise } from "../../../models/kernels/reference/loss.ts";
import { randomFloats, relativeError } from "../engine/support.ts";
import { kernelArena } from "./arena.ts";

type Row = (p: readonly number[], y: readonly number[]) => number;
interface Case {
  readonly kernel: (kernels: Kernels) => (...args: number[]) => void;
  readonly row: Row;
  /** Whether a whole row is one target. */
  readonly whole: boolean;
  readonly p: "any" | "share" | "positive";
  readonly y: "any" | "share" | "class";
}

const DELTA = 0.7;
const eachOf =
  (loss: (p: number, y: number, delta: number) => number): Row =>
  (p, y) =>
    p.reduce((total, value, j) => total + (Number.isNaN(y[j]!) ? 0 : loss(value, y[j]!, DELTA)), 0);
const elements = { whole: false, p: "any", y: "any" } as const;
const rows = { whole: true, p: "share", y: "share" } as const;

const CASES: Record<string, Case> = {
  squaredError: { ...elements, kernel: (k) => k.squaredError, row: eachOf(pointwise.mse) },
  absoluteError: { ...elements, kernel: (k) => k.absoluteError, row: eachOf(pointwise.mae) },
  huber: {
    ...elements,
    kernel:
      (k) =>
      (...args) =>
        k.huber(...(args as Parameters<Kernels["squaredError"]>), DELTA),
    row: eachOf(pointwise.huber),
  },
  binaryCrossentropy: {
    ...elements,
    p: "share",
    y: "share",
    kernel: (k) => k.binaryCrossentropy,
    row: eachOf(pointwise.binaryCrossentropy),
  },
  binaryCrossentropyLogits: {
    ...elements,
    y: "share",
    kernel: (k) => k.binaryCrossentropyLogits,
    row: eachOf(pointwise.binaryCrossentropyLogits),
  },
  logCosh: { ...elements, kernel: (k) => k.logCosh, row: eachOf(pointwise.logCosh) },
  poisson: { ...elements, p: "positive", kernel: (k) => k.poisson, row: eachOf(pointwise.poisson) },
  categoricalCrossentropy: {
    ...rows,
    kernel: (k) => k.categoricalCrossentropy,
    row: rowwise.categoricalCrossentropy,
  },
  categoricalCrossentropyLogits: {
    ...rows,
    p: "any",
    kernel: (k) => k.categoricalCrossentropyLogits,
    row: rowwise.categoricalCrossentropyLogits,
  },
  sparseCrossentropy: {
    ...rows,
    y: "class",
    kernel: (k) => k.sparseCrossentropy,
    row: rowwise.sparseCrossentropy,
  },
  sparseCrossentropyLogits: {
    ...rows,
    p: "any",
    y: "class",
    kernel: (k) => k.sparseCrossentropyLogits,
    row: rowwise.sparseCrossentropyLogits,
  },
  kullbackLeibler: { ...rows, kernel: (k) => k.kullbackLeibler, row: rowwise.kullbackLeibler },
  cosineDistance: {
    ...rows,
    p: "any",
    y: "any",
    kernel: (k) => k.cosineDistance,
    row: rowwise.cosineDistance,
  },
};

const FACTOR = 0.6;

function make(kind: "any" | "share" | "positive" | "class", length: number, seed: number, cols: number) {
  const values = randomFloats(length, seed, 3);
  if (kind === "any") return values;
  if (kind === "positive") return values.map((v) => Math.abs(v) + 0.05);
  // Away from the ends, where the clipped losses have their bend.
  if (kind === "share") return values.map((v) => 0.05 + (0.3 * Math.abs(v)) / 3);
  return values.map((_, i) => (i * 7 + seed) % cols);
}

describe("losses", () => {
  it.each(Object.entries(CASES))(
    "%s: value and gradient are those of the plain reference, at every size, with weights and missing targets",
    async (_, loss) => {
      const arena = await kernelArena();
      for (const [lines, cols] of [
        [1, 1],
        [3, 2],
        [5, 3],
        [2, 4],
        [4, 13],
        [3, 531],
      ] as const) {
        for (const [weighted, missing] of [
          [false, false],
          [true, true],
        ]) {
          arena.clear();
          const targetCols = loss.y === "class" ? 1 : cols;
          const p = make(loss.p, lines * cols, 1, cols);
          const y = make(loss.y, lines * targetCols, 2, cols);
          const w = weighted ? make("positive", lines, 3, 1) : undefined;
          if (missing) y[y.length - 1] = Number.NaN;
          const rowOf = (values: ArrayLike<number>, i: number, size: number) =>
            Array.from(values).slice(i * size, (i + 1) * size);
          const isMissing = (i: number) => loss.whole && rowOf(y, i, targetCols).some(Number.isNaN);
          const value = (of: ArrayLike<number>) => {
            let sum = 0;
            for (let i = 0; i < lines; i++) {
              if (!isMissing(i)) sum += (w?.[i] ?? 1) * loss.row(rowOf(of, i, cols), rowOf(y, i, targetCols));
            }
            return sum;
          };
          const present = (loss.whole ? lines : lines * cols) - (missing ? 1 : 0);

          const [at, targets, gradient] = [arena.put(p), arena.put(y), arena.put(new Float32Array(p.length))];
          const weight = w ? arena.put(w).address : 0;
          gradient.view.fill(7); // it is set, not added to
          const out = arena.put([0, 0, 0, 0, 0]);
          const address = out.address + (out.address % 8 === 0 ? 0 : 4);
          const run = (dp: number) =>
            loss.kernel(arena.kernels)(at.address, targets.address, weight, lines, cols, FACTOR, dp, address);
          run(gradient.address);
          const [sum, count] = new Float64Array(arena.kernels.memory.buffer, address, 2);
          expect(count).toBe(present);
          expect(Math.abs(sum! - value(p))).toBeLessThan(2e-6 * (1 + Math.abs(value(p))));
          // Of long rows, a few elements are enough.
          const looked = Array.from(p, (_, i) => i).filter((i) => cols < 100 || i % 97 === 0);
          const expected = looked.map((i) => {
            const line = Math.floor(i / cols);
            if (present === 0 || isMissing(line)) return 0;
            const h = 1e-5;
            const [own, target] = [rowOf(p, line, cols), rowOf(y, line, targetCols)];
            const moved = (by: number) =>
              loss.row(
                own.map((v, k) => (k === i % cols ? v + by : v)),
                target,
              );
            return (FACTOR * (w?.[line] ?? 1) * (moved(h) - moved(-h))) / (2 * h) / present;
          });
          const got = looked.map((i) => gradient.view[i]!);
          expect(relativeError(got, expected), `${lines} x ${cols}`).toBeLessThan(2e-5);
          run(0);
          expect(new Float64Array(arena.kernels.memory.buffer, address, 2)[0]).toBe(sum);
          expect(arena.intact()).toBe(true);
        }
      }
    },
  );

  it("logits - of any size give finite losses, right to the last digit", async () => {
    const { put, kernels } = await kernelArena();
    const out = put([0, 0, 0, 0, 0]).address;
    const address = out + (out % 8 === 0 ? 0 : 4);
    const result = new Float64Array(kernels.memory.buffer, address, 2);
    const x = put([1000, -1000, 30, -30, 0]);
    const d = put([0, 0, 0, 0, 0]);
    kernels.sparseCrossentropyLogits(x.address, put([1]).address, 0, 1, 5, 1, d.address, address);
    expect(result[0]).toBe(2000);
    expect([...d.view]).toEqual([1, -1, expect.closeTo(0, 30), expect.closeTo(0, 30), expect.closeTo(0, 30)]);
    const y = put([1, 0, 1, 0, 1]);
    kernels.binaryCrossentropyLogits(x.address, y.address, 0, 1, 5, 1, d.address, address);
    // The right answers at 1000 and 30 leave next to nothing: e^-30 each.
    expect(result[0]! / (Math.log(2) + 2 * Math.exp(-30))).toBeCloseTo(1, 6);
    kernels.binaryCrossentropyLogits(x.address + 8, y.address + 8, 0, 1, 1, 1, 0, address);
    expect(result[0]! / Math.log1p(Math.exp(-30))).toBeCloseTo(1, 5);
    kernels.logCosh(put([1e-4]).address, put([0]).address, 0, 1, 1, 1, 0, address);
    expect(result[0]! / 5e-9).toBeCloseTo(1, 5);
  });

  it("probabilities - of 0 and 1 give the loss of 1e-7, as Keras and tfjs clip, and no gradient", async () => {
    const { put, kernels } = await kernelArena();
    const out = put([0, 0, 0, 0, 0]).address;
    const address = out + (out % 8 === 0 ? 0 : 4);
    const result = new Float64Array(kernels.memory.buffer, address, 2);
    const [p, d] = [put([1, 0]), put([5, 5])];
    kernels.sparseCrossentropy(p.address, put([1]).address, 0, 1, 2, 1, d.address, address);
    expect(result[0]).toBeCloseTo(-Math.log(1e-7), 4);
    expect([...d.view]).toEqual([0, 0]);
    kernels.categoricalCrossentropy(p.address, put([0, 1]).address, 0, 1, 2, 1, d.address, address);
    expect(result[0]).toBeCloseTo(-Math.log(1e-7), 4);
    expect(d.view.every((value) => Math.abs(value) === 0)).toBe(true);
    kernels.binaryCrossentropy(p.address, put([0, 1]).address, 0, 1, 2, 1, d.address, address);
    expect(result[0]! / (-2 * Math.log(1e-7))).toBeCloseTo(1, 1);
    expect([...d.view]).toEqual([0, 0]);
  });

  it("targets - masked steps go missing, strays are found, weights are spread and multiplied by class", async () => {
    const { put, kernels } = await kernelArena();
    const y = put([1, 2, 3, 4, 5, 6]);
    kernels.maskTargets(y.address, put([1, 0, 1]).address, 3, 2);
    expect([...y.view]).toEqual([1, 2, Number.NaN, Number.NaN, 5, 6]);
    const stray = (...values: number[]) => kernels.hasStrayClass(put(values).address, values.length, 3);
    expect(stray(0, 1, 2, Number.NaN)).toBe(0);
    for (const value of [3, -1, 0.5]) expect(stray(0, value)).toBe(1);
    const w = put(new Float32Array(6));
    kernels.spreadWeights(put([2, 3]).address, w.address, 2, 3);
    expect([...w.view]).toEqual([2, 2, 2, 3, 3, 3]);
    const table = put([1, 10, 100]).address;
    kernels.weighClasses(put([0, 1, 2, Number.NaN, 9, 1.2]).address, 6, 1, table, 3, w.address);
    expect([...w.view]).toEqual([2, 20, 200, 3, 300, 30]);
    kernels.spreadWeights(0, w.address, 2, 1);
    kernels.weighClasses(put([0.1, 0.2, 0.7, 0.3, 0.6, 0.1]).address, 2, 3, table, 3, w.address);
    expect([...w.view.subarray(0, 2)]).toEqual([100, 10]);
  });
});
