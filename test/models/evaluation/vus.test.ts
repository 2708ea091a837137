import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createRandom } from "../../../models/engine/random.ts";
import { auroc } from "../../../models/evaluation/ranking.ts";
import { volumeUnderSurface } from "../../../models/evaluation/vus.ts";
import { plainVolumes } from "./vus-reference.ts";

interface Case {
  readonly name: string;
  readonly scores: readonly number[];
  readonly events: readonly (readonly [number, number])[];
  readonly results: readonly { readonly window: number; readonly vusPr: number; readonly vusRoc: number }[];
}

// Written by vus.py in the folder of the fixture, which runs TSB-AD 1.5's own code.
const cases: readonly Case[] = readFileSync(
  join(import.meta.dirname, "../../fixtures/evaluation/vus.jsonl"),
  "utf8",
)
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line));

for (const { name, scores, events, results } of cases) {
  test(`vus - equals TSB-AD: ${name}`, () => {
    const labels = new Uint8Array(scores.length);
    for (const [first, last] of events) labels.fill(1, first, last + 1);
    expect(results.map((r) => r.window)).toEqual([0, 1, 2, 7, 20, 100]);
    for (const { window, vusPr, vusRoc } of results) {
      const ours = volumeUnderSurface(Float64Array.from(scores), labels, { window });
      expect(Math.abs(ours.vusPr - vusPr)).toBeLessThan(1e-9);
      expect(Math.abs(ours.vusRoc - vusRoc)).toBeLessThan(1e-9);
    }
  });
}

const labelled = fc
  .array(fc.tuple(fc.integer({ min: -20, max: 20 }), fc.constantFrom(0, 0, 0, 1)), {
    minLength: 2,
    maxLength: 60,
  })
  .filter((rows) => new Set(rows.map(([, label]) => label)).size === 2)
  .map((rows) => ({
    scores: Float64Array.from(rows, ([s]) => s),
    labels: Uint8Array.from(rows, ([, l]) => l),
  }));

test("vus - the fast way gives what the plain one gives", () => {
  fc.assert(
    fc.property(labelled, fc.integer({ min: 0, max: 30 }), ({ scores, labels }, window) => {
      const fast = volumeUnderSurface(scores, labels, { window });
      const plain = plainVolumes(scores, labels, window);
      expect(Math.abs(fast.vusPr - plain.vusPr)).toBeLessThan(1e-9);
      expect(Math.abs(fast.vusRoc - plain.vusRoc)).toBeLessThan(1e-9);
    }),
    { numRuns: 60 },
  );
});

test("vus - only the order of the scores counts, and a NaN score ranks lowest", () => {
  fc.assert(
    fc.property(labelled, ({ scores, labels }) => {
      const volumes = volumeUnderSurface(scores, labels);
      expect(
        volumeUnderSurface(
          scores.map((s) => Math.exp(s / 10) - 3),
          labels,
        ),
      ).toEqual(volumes);
      const lowest = Math.min(...scores);
      expect(
        volumeUnderSurface(
          scores.map((s) => (s === lowest ? Number.NaN : s)),
          labels,
        ),
      ).toEqual(volumes);
      expect(volumes.vusPr).toBeGreaterThanOrEqual(0);
      expect(volumes.vusPr).toBeLessThanOrEqual(1);
    }),
  );
});

test("vus - perfect scores get 1; with window 0 and one row events, a fine surface is the AUROC", () => {
  const labels = new Uint8Array(200);
  labels.fill(1, 50, 60);
  const perfect = Float64Array.from(labels, (label, i) => label + i * 1e-4);
  expect(volumeUnderSurface(perfect, labels, { window: 0 })).toEqual({ vusPr: 1, vusRoc: 1 });
  const buffered = volumeUnderSurface(perfect, labels, { window: 20 });
  expect(buffered.vusPr).toBeCloseTo(1, 12);
  expect(buffered.vusRoc).toBeCloseTo(1, 12);
  const one = new Uint8Array(200);
  one[70] = 1;
  const scores = Float64Array.from(one, (_, i) => (i * 37) % 200);
  expect(volumeUnderSurface(scores, one, { window: 0 }).vusRoc).toBeCloseTo(auroc(scores, one), 12);
});

test("vus - a random score gets about the share of the anomalous rows, and an alarm just beside an event counts in part", () => {
  const random = createRandom(3).uniform;
  const labels = new Uint8Array(20_000);
  for (let i = 0; i < labels.length; i += 1000) labels.fill(1, i, i + 100);
  const scores = Float64Array.from(labels, () => random());
  expect(Math.abs(volumeUnderSurface(scores, labels, { window: 0 }).vusPr - 0.1)).toBeLessThan(0.02);
  const late = Float64Array.from(labels, (_, i) => (labels[i - 5] === 1 ? 1 : 0));
  expect(volumeUnderSurface(late, labels, { window: 20 }).vusPr).toBeGreaterThan(
    volumeUnderSurface(late, labels, { window: 0 }).vusPr + 0.005,
  );
});

test("vus - NaN without events or without normal rows; a window that can't be is refused", () => {
  const scores = Float64Array.of(1, 2, 3);
  const none = { vusPr: Number.NaN, vusRoc: Number.NaN };
  expect(volumeUnderSurface(scores, new Uint8Array(3))).toEqual(none);
  expect(volumeUnderSurface(scores, Uint8Array.of(1, 1, 1))).toEqual(none);
  expect(volumeUnderSurface(new Float64Array(0), new Uint8Array(0))).toEqual(none);
  expect(() => volumeUnderSurface(scores, Uint8Array.of(0, 1, 0), { window: -1 })).toThrow(
    "a window of -1 rows can't be; give a whole number, 0 or more",
  );
});

test("vus - 24k rows at window 20 take less than half a second", () => {
  const random = createRandom(4).uniform;
  const labels = new Uint8Array(24_000);
  for (let i = 500; i < labels.length; i += 120) labels.fill(1, i, i + 30);
  const scores = Float64Array.from(labels, () => random());
  volumeUnderSurface(scores, labels);
  const start = performance.now();
  volumeUnderSurface(scores, labels);
  expect(performance.now() - start).toBeLessThan(500);
});
