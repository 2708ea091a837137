import fc from "fast-check";
import { expect, it } from "vitest";
import { products } from "../../../models/detectors/products.ts";

/** v v' of each sample, one after the other. */
function plain(rows: Float32Array, channels: number, lags: number): Float64Array {
  const count = rows.length / channels;
  const sums: number[] = [];
  for (let t = lags; t < count; t++) {
    const v = [1];
    for (let lag = 0; lag <= lags; lag++)
      v.push(...rows.subarray((t - lag) * channels, (t - lag + 1) * channels));
    let k = 0;
    for (let i = 0; i < v.length; i++) {
      for (let j = i; j < v.length; j++, k++) sums[k] = (sums[k] ?? 0) + v[i]! * v[j]!;
    }
  }
  return Float64Array.from(sums);
}

const cases = fc
  .record({ channels: fc.integer({ min: 1, max: 11 }), lags: fc.integer({ min: 0, max: 5 }) })
  .chain(({ channels, lags }) =>
    fc.record({
      channels: fc.constant(channels),
      lags: fc.constant(lags),
      /** Channels that are constant: 0 after scaling. */
      still: fc.array(fc.nat(channels - 1), { maxLength: 4 }),
      blocks: fc.array(
        fc.integer({ min: 1, max: 12 }).chain((samples) => {
          const length = (lags + samples) * channels;
          return fc.array(fc.float({ min: -10, max: 10, noNaN: true }), {
            minLength: length,
            maxLength: length,
          });
        }),
        { minLength: 1, maxLength: 3 },
      ),
    }),
  );

it("products - are those of each sample by itself, for all sizes, however the samples come in blocks", () => {
  fc.assert(
    fc.property(cases, ({ channels, lags, still, blocks }) => {
      const { add, prior } = products(channels, lags);
      const sums = new Float64Array(prior.length);
      const expected = new Float64Array(prior.length);
      for (const block of blocks) {
        const rows = Float32Array.from(block, (x, i) => (still.includes(i % channels) ? 0 : x));
        add(rows, sums);
        plain(rows, channels, lags).forEach((sum, k) => {
          expected[k]! += sum;
        });
      }
      // Terms are at most 100 and fewer than 40: float64 leaves 1e-12 of them.
      sums.forEach((sum, k) => {
        expect(Math.abs(sum - expected[k]!)).toBeLessThan(1e-10);
      });
    }),
  );
});

it("products - a long series in one block keeps the precision of float64", () => {
  const [channels, lags, rows] = [5, 3, 20_000];
  const values = Float32Array.from({ length: rows * channels }, (_, i) => Math.sin(i * i) + (i % channels));
  const { add, prior } = products(channels, lags);
  const sums = new Float64Array(prior.length);
  add(values, sums);
  plain(values, channels, lags).forEach((sum, k) => {
    expect(Math.abs(sums[k]! - sum)).toBeLessThan(1e-11 * (rows + Math.abs(sum)));
  });
});
