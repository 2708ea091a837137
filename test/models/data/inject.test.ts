import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type InjectOptions, inject, injectionKinds, ROWS_PER_FAULT } from "../../../models/data/inject.ts";
import { createRandom } from "../../../models/engine/random.ts";

const sigma = (channels: number) => Float64Array.from({ length: channels }, (_, c) => c + 1);

/** Waves about 10, channel c with a swing of c + 1; `still` channels do not move at all. */
function normal(rows: number, channels: number, seed: number, still = 0): InjectOptions {
  const random = createRandom(seed);
  const values = Float32Array.from({ length: rows * channels }, (_, i) => {
    const c = i % channels;
    return c < still ? 10 : 10 + (c + 1) * (Math.sin(i / 40 + c) + 0.1 * random.normal());
  });
  return { values, rows, channels, mean: new Float64Array(channels).fill(10), sigma: sigma(channels), seed };
}

const many = inject(normal(200 * 120, 8, 1));

describe("inject", () => {
  it("changes nothing outside its faults, and what is missing stays missing", () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 200, max: 1500 }),
        (seed, channels, rows) => {
          const options = normal(rows, channels, seed);
          const random = createRandom(seed, 2);
          for (let i = 0; i < options.values.length; i++)
            if (random.uniform() < 0.1) options.values[i] = Number.NaN;
          const before = options.values.slice();
          const { values, labels, events } = inject(options);
          expect(options.values).toEqual(before);
          expect(inject(options)).toEqual({ values, labels, events });
          const inside = (row: number, c: number) =>
            events.some(({ from, to, channels }) => from <= row && row < to && channels.includes(c));
          for (let row = 0; row < rows; row++) {
            let any = false;
            for (let c = 0; c < channels; c++) {
              const at = row * channels + c;
              any ||= inside(row, c);
              if (!inside(row, c)) expect(values[at]).toBe(before[at]);
              else expect(Number.isNaN(values[at])).toBe(Number.isNaN(before[at]));
            }
            expect(labels[row]).toBe(any ? 1 : 0);
          }
        },
      ),
      { numRuns: 25 },
    );
  });

  it("makes every kind equally often, one in each stretch, in a quarter of the channels at most", () => {
    expect(many.events).toHaveLength(120);
    for (const kind of injectionKinds)
      expect(many.events.filter((event) => event.kind === kind)).toHaveLength(20);
    for (const [i, { from, to, channels, kind }] of many.events.entries()) {
      expect(Math.floor(from / ROWS_PER_FAULT)).toBe(i);
      expect(Math.floor((to - 1) / ROWS_PER_FAULT)).toBe(i);
      expect(new Set(channels).size).toBe(channels.length);
      expect(channels.length).toBeLessThanOrEqual(2);
      expect(to - from).toBeLessThanOrEqual(kind === "spike" ? 3 : 60);
    }
  });

  it("makes each kind as it says", () => {
    const { values: before } = normal(200 * 120, 8, 1);
    const at = (values: Float32Array, row: number, c: number) => values[row * 8 + c]!;
    for (const { kind, from, to, channels, size } of many.events) {
      for (const [k, c] of channels.entries()) {
        const rows = Array.from({ length: to - from }, (_, i) => from + i);
        const was = rows.map((row) => at(before, row, c));
        const is = rows.map((row) => at(many.values, row, c));
        const moved = is.map((x, i) => (x - was[i]!) / (c + 1));
        if (kind === "spike" || kind === "shift") {
          for (const move of moved) expect(move).toBeCloseTo(size, 4);
          expect(Math.abs(size)).toBeGreaterThanOrEqual(kind === "spike" ? 3 : 1);
        }
        if (kind === "flat") expect(new Set([...is, at(before, from - 1, c)]).size).toBe(1);
        if (kind === "scale") {
          const spread = (list: number[]) => Math.max(...list) - Math.min(...list);
          expect(spread(is) / spread(was)).toBeCloseTo(size, 3);
        }
        if (kind === "noise") {
          const rms = Math.sqrt(moved.reduce((sum, m) => sum + (m * m) / moved.length, 0));
          expect(rms / size).toBeGreaterThan(0.5);
          expect(rms / size).toBeLessThan(1.6);
        }
        if (kind === "swap") {
          const other = channels[(k + 1) % channels.length]!;
          const z = rows.map((row) => (at(before, row, other) - 10) / (other + 1));
          for (const [i, x] of is.entries()) expect((x - 10) / (c + 1)).toBeCloseTo(z[i]!, 4);
        }
      }
    }
  });

  it("does not call it a fault where nothing changes", () => {
    const { events } = inject(normal(200 * 60, 4, 3, 3));
    const flats = events.filter(({ kind }) => kind === "flat" || kind === "scale");
    for (const { channels } of flats) expect(channels).toContain(3);
    const still = inject(normal(200 * 60, 4, 3, 4));
    expect(new Set(still.events.map(({ kind }) => kind))).toEqual(new Set(["spike", "shift", "noise"]));
  });

  it("refuses too few rows", () => {
    expect(() => inject(normal(199, 2, 1))).toThrow(/made faults need 200 rows, and there are 199/);
  });
});
