import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ChangeOptions } from "../../../models/detectors/augment/change.ts";
import { openChanges } from "../../../models/detectors/augment/changes.ts";
import { cutout } from "../../../models/detectors/augment/cutout.ts";
import { jitter } from "../../../models/detectors/augment/jitter.ts";
import { masking } from "../../../models/detectors/augment/masking.ts";
import { mixup } from "../../../models/detectors/augment/mixup.ts";
import { permutation } from "../../../models/detectors/augment/permutation.ts";
import { scaling } from "../../../models/detectors/augment/scaling.ts";
import { timeWarp } from "../../../models/detectors/augment/time-warp.ts";
import { createRandom } from "../../../models/engine/random.ts";
import type { AugmentSpec } from "../../../protocol/task.ts";

const shape = fc.record({
  rows: fc.integer({ min: 2, max: 40 }),
  channels: fc.integer({ min: 1, max: 5 }),
  seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
});

function noise(rows: number, channels: number, seed: number): Float32Array {
  const random = createRandom(seed, 77);
  return Float32Array.from({ length: rows * channels }, () => random.normal());
}

const mean = (values: ArrayLike<number>) => Array.from(values).reduce((sum, x) => sum + x, 0) / values.length;
const deviation = (values: ArrayLike<number>) => {
  const center = mean(values);
  return Math.sqrt(mean(Array.from(values, (x) => (x - center) ** 2)));
};

describe("augmentation", () => {
  it("jitter - adds noise of zero mean and the deviation asked for, and none at 0", () => {
    const values = new Float32Array(40_000).fill(5);
    jitter(createRandom(1), 0.2)(values);
    expect(mean(values)).toBeCloseTo(5, 2);
    expect(deviation(values)).toBeCloseTo(0.2, 2);
    const same = noise(20, 3, 1);
    jitter(createRandom(1), 0)(same);
    expect(same).toEqual(noise(20, 3, 1));
  });

  it("scaling - multiplies a whole channel by one factor, about 1, and leaves it at 0", () => {
    const factors: number[] = [];
    const change = scaling(createRandom(1), 0.1, 2);
    for (let k = 0; k < 2000; k++) {
      const values = Float32Array.from({ length: 12 }, (_, i) => i + 1);
      change(values);
      const [first, second] = [values[0]! / 1, values[1]! / 2];
      for (let i = 0; i < 12; i++) expect(values[i]! / (i + 1)).toBeCloseTo(i % 2 === 0 ? first : second, 5);
      factors.push(first, second);
    }
    expect(mean(factors)).toBeCloseTo(1, 2);
    expect(deviation(factors)).toBeCloseTo(0.1, 2);
    const same = noise(20, 3, 1);
    scaling(createRandom(1), 0, 3)(same);
    expect(same).toEqual(noise(20, 3, 1));
  });

  it("masking - hides the share asked for, in stretches of the mean length asked for, and nothing at 0", () => {
    for (const [share, length] of [
      [0.15, 1],
      [0.15, 3],
      [0.4, 6],
    ] as const) {
      const [rows, channels] = [20_000, 2];
      const hidden = new Uint8Array(rows * channels);
      const values = new Float32Array(rows * channels).fill(1);
      masking(createRandom(3), { share, rows: length, channels, fill: "zero" })(values, hidden);
      expect(Math.abs(mean(hidden) / share - 1)).toBeLessThan(0.1);
      expect(values).toEqual(Float32Array.from(hidden, (h) => 1 - h));
      let stretches = 0;
      for (let i = channels; i < hidden.length; i++)
        if (hidden[i] === 1 && hidden[i - channels] === 0) stretches++;
      // Single values lie next to each other by chance.
      const expected = length === 1 ? 1 / (1 - share) : length;
      expect(Math.abs(hidden.reduce((sum, h) => sum + h, 0) / stretches / expected - 1)).toBeLessThan(0.1);
    }
    const same = noise(20, 3, 1);
    masking(createRandom(1), { share: 0, rows: 3, channels: 3, fill: "zero" })(same, new Uint8Array(60));
    expect(same).toEqual(noise(20, 3, 1));
  });

  it("masking - a hidden value is the last one that was seen in its channel, where a gap looks so", () => {
    fc.assert(
      fc.property(shape, ({ rows, channels, seed }) => {
        const before = noise(rows, channels, seed);
        const values = before.slice();
        const hidden = new Uint8Array(values.length);
        masking(createRandom(seed), { share: 0.4, rows: 3, channels, fill: "before" })(values, hidden);
        for (let i = 0; i < values.length; i++) {
          let last = i;
          while (last >= 0 && hidden[last] === 1) last -= channels;
          expect(values[i]).toBe(last < 0 ? 0 : before[last]);
        }
      }),
    );
  });

  it("cutout - blanks one square, all values of its pixels, within the image", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1000 }), fc.integer({ min: 1, max: 3 }), (seed, depth) => {
        const [height, width] = [9, 12];
        const image = new Float32Array(height * width * depth).fill(1);
        cutout(createRandom(seed), 0.15, { height, width, depth })(image);
        // round(sqrt(0.15 * 108)) = 4
        const blank = [...image.keys()].filter((i) => image[i] === 0).map((i) => Math.floor(i / depth));
        const pixels = [...new Set(blank)];
        expect(blank.length).toBe(depth * pixels.length);
        const xs = new Set(pixels.map((p) => p % width));
        const ys = new Set(pixels.map((p) => Math.floor(p / width)));
        expect(pixels.length).toBe(xs.size * ys.size);
        for (const side of [xs, ys]) {
          expect(side.size).toBeGreaterThanOrEqual(2);
          expect(side.size).toBeLessThanOrEqual(4);
          expect(Math.max(...side) - Math.min(...side)).toBe(side.size - 1);
        }
      }),
    );
    const whole = new Float32Array(16).fill(1);
    cutout(createRandom(1), 0, { height: 4, width: 4, depth: 1 })(whole);
    expect(whole).toEqual(new Float32Array(16).fill(1));
  });

  it("warp - time goes on, from the first row to the last, and a still speed changes nothing", () => {
    fc.assert(
      fc.property(shape, fc.double({ min: 0, max: 1, noNaN: true }), ({ rows, channels, seed }, strength) => {
        // A row's value is its time.
        const values = Float32Array.from({ length: rows * channels }, (_, i) => Math.floor(i / channels));
        timeWarp(createRandom(seed), strength, { rows, channels })(values);
        expect(values[0]).toBe(0);
        expect(values.at(-1)).toBe(rows - 1);
        for (let i = channels; i < values.length; i++) {
          const step = values[i]! - values[i - channels]!;
          expect(step).toBeGreaterThan(0);
          if (strength === 0) expect(step).toBeCloseTo(1, 4);
        }
      }),
    );
    const values = Float32Array.from({ length: 32 }, (_, i) => i);
    timeWarp(createRandom(1), 0.2, { rows: 32, channels: 1 })(values);
    expect(Math.max(...values.map((time, i) => Math.abs(time - i)))).toBeGreaterThan(0.3);
  });

  it("permutation - keeps every row, in pieces, and names each row that has another before it than it had", () => {
    fc.assert(
      fc.property(shape, fc.integer({ min: 0, max: 8 }), ({ rows, channels, seed }, pieces) => {
        const values = Float32Array.from({ length: rows * channels }, (_, i) => i);
        const seams = permutation(createRandom(seed), pieces, { rows, channels })(values);
        const order = Array.from({ length: rows }, (_, row) => values[row * channels]! / channels);
        expect([...order].sort((a, b) => a - b)).toEqual([...order.keys()]);
        for (let i = 0; i < values.length; i++) expect(values[i]! % channels).toBe(i % channels);
        const breaks = order.flatMap((row, at) => (at > 0 && row !== order[at - 1]! + 1 ? [at] : []));
        expect([...seams.subarray(0, seams.indexOf(-1))]).toEqual(breaks);
        expect(breaks.length).toBeLessThan(Math.max(1, pieces));
      }),
    );
  });

  it("mixup - mixes by a part that is spread as Beta(alpha, alpha) is", () => {
    for (const alpha of [0.2, 1, 4]) {
      const mix = mixup(createRandom(5), alpha);
      const parts = Array.from({ length: 20_000 }, () => {
        const values = new Float32Array([0, 10]);
        const part = mix(values, new Float32Array([1, 20]));
        expect(values[0]).toBeCloseTo(1 - part, 5);
        expect(values[1]).toBeCloseTo(20 - 10 * part, 4);
        return part;
      });
      expect(mean(parts)).toBeCloseTo(0.5, 1);
      // The variance of Beta(a, a) is 1 / (4 (2a + 1)).
      expect(deviation(parts) ** 2).toBeCloseTo(1 / (4 * (2 * alpha + 1)), 2);
    }
  });

  const everything: AugmentSpec = {
    jitter: 0.1,
    scaling: 0.1,
    masking: 0.2,
    maskRows: 3,
    warp: 0.2,
    permutation: 4,
    mixup: 0.4,
  };

  const open = (augment: AugmentSpec, options: Partial<ChangeOptions> = {}) =>
    openChanges(createRandom(9), augment, { rows: 8, channels: 2, ...options });
  const samples = Array.from({ length: 5 }, (_, i) => noise(8, 2, i));
  const at = (index: number) => samples[index]!;

  it("all together - the same seed draws the same, each epoch anew, and the data stay as they are", () => {
    const kept = samples.map((sample) => sample.slice());
    const draw = () => {
      const change = open(everything, { forecasts: true });
      return [0, 1, 0, 1].map((index) => {
        const { seen, wanted, own, other } = change(index, 5, at);
        return { seen: seen.slice(), wanted: wanted.slice(), own, other };
      });
    };
    const first = draw();
    expect(draw()).toEqual(first);
    expect(first[2]!.seen).not.toEqual(first[0]!.seen);
    expect(samples).toEqual(kept);
  });

  it("jitter and masking are of the input alone, the others of input and target alike", () => {
    for (const [augment, apart] of [
      [{ jitter: 0.1 }, true],
      [{ masking: 0.5 }, true],
      [{ scaling: 0.1 }, false],
      [{ warp: 0.3 }, false],
      [{ permutation: 4 }, false],
      [{ mixup: 1 }, false],
    ] as const) {
      const { seen, wanted } = open(augment)(0, 5, at);
      if (apart) expect(seen).not.toEqual(wanted);
      else expect(seen).toEqual(wanted);
      if (apart) expect(wanted).toEqual(samples[0]);
      else expect(wanted).not.toEqual(samples[0]);
    }
  });

  it("a forecaster is not asked for a row after a seam, and sees hidden values as gaps", () => {
    const change = open({ permutation: 4 }, { forecasts: true });
    const { seen, wanted } = change(0, 5, at);
    const missing = [...wanted.keys()].filter((i) => Number.isNaN(wanted[i]));
    expect(missing.length).toBeGreaterThan(0);
    expect(missing.every((i) => i >= 2 && (i % 2 === 0 ? missing.includes(i + 1) : true))).toBe(true);
    expect(seen.some(Number.isNaN)).toBe(false);
    const masked = open({ masking: 0.5 }, { forecasts: true })(0, 5, at).seen;
    for (let i = 2; i < masked.length; i++) expect([samples[0]![i], masked[i - 2]]).toContain(masked[i]);
  });

  it("pretraining asks others than forecasters for what was hidden, and for that alone", () => {
    let hidden = 0;
    const change = open({}, { pretext: true });
    for (let k = 0; k < 200; k++) {
      const { seen, wanted } = change(k % 5, 5, at);
      for (let i = 0; i < seen.length; i++) {
        const isHidden = seen[i] === 0;
        hidden += isHidden ? 1 : 0;
        expect(wanted[i]).toEqual(isHidden ? samples[k % 5]![i] : Number.NaN);
        if (!isHidden) expect(seen[i]).toBe(samples[k % 5]![i]);
      }
    }
    expect(hidden / (200 * 16)).toBeGreaterThan(0.1);
    expect(hidden / (200 * 16)).toBeLessThan(0.2);
    const { wanted } = open({}, { pretext: true, forecasts: true })(0, 5, at);
    expect(wanted).toEqual(samples[0]);
  });
});
