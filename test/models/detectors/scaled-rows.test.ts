import { expect, it } from "vitest";
import { fitScaler, scaleSeries } from "../../../models/data/scaling.ts";
import { seriesStatistics } from "../../../models/data/statistics.ts";
import { scaledRows } from "../../../models/detectors/scaled-rows.ts";

const channels = 3;
const rows = 40;
const plain = Float32Array.from({ length: rows * channels }, (_, i) => Math.sin(i * i) * 5 + (i % channels));
const withGaps = plain.map((x, i) => (i % 7 === 3 || (i > 30 && i < 60) ? Number.NaN : x));
const scalerOf = (values: Float32Array) =>
  fitScaler(seriesStatistics({ values, rows, channels }), { clip: 1 });

it.each([
  ["without gaps", plain, false],
  ["with gaps", withGaps, false],
  ["without gaps, overwritten", plain, true],
  ["with gaps, overwritten", withGaps, true],
] as const)(
  "scaledRows - a series %s reads to the bit as one that is scaled as a whole",
  (_, given, overwrite) => {
    const values = given.slice();
    const scaler = scalerOf(values);
    const expected = scaleSeries(scaler, values, { fill: true });
    const read = scaledRows({ values, rows, channels }, scaler, { inTime: true, overwrite });
    // Backwards, and of every length, so that no read leans on the one before.
    for (let first = rows - 1; first >= 0; first -= 3) {
      for (let count = 1; first + count <= rows; count += 4)
        expect(read(first, count)).toEqual(expected.slice(first * channels, (first + count) * channels));
    }
    if (!overwrite) expect(values).toEqual(given);
  },
);

it("scaledRows - of rows that stand alone, what is missing is the mean and not what another row had", () => {
  const scaler = scalerOf(withGaps);
  const read = scaledRows({ values: withGaps, rows, channels }, scaler, { inTime: false, overwrite: false });
  const filled = withGaps.map((x, i) => (Number.isNaN(x) ? scaler.mean[i % channels]! : x));
  for (let row = rows - 1; row >= 0; row--) {
    [...read(row, 1)].forEach((z, c) => {
      expect(z).toBeCloseTo(scaleSeries(scaler, filled, { fill: true })[row * channels + c]!, 6);
    });
  }
  expect(read(0, rows)).toHaveLength(rows * channels);
});
