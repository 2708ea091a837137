import { FleetError } from "../../protocol/errors.ts";
import type { Layout } from "../../protocol/frame.ts";

/**
 * The mean of v v' over samples, v = (1, a row of values, the row before it, ..., the one `lags` before it): sizes, means and products of every pair, as the upper
 * triangle row by row. Means are the first row, the covariance is what the means leave of the rest. (n + 1)(n + 2) / 2 numbers for the n = channels (lags + 1) entries
 * after the 1.
 */
export interface Products {
  /** Entries of v. */
  readonly size: number;
  readonly layout: Layout;
  /** Of independent entries with mean 0 and variance 1. */
  readonly prior: Float32Array;
  /** Adds v v' of each sample to sums. rows: (lags + samples, channels): the rows that the first sample looks back at, then each sample's own. */
  add(rows: Float32Array, sums: Float64Array): void;
  /** The mean of v[i] v[j]. */
  mean(means: Float64Array, i: number, j: number): number;
}

/** The most that one tensor of a weight frame may have (protocol/frame.ts). */
const MOST = 2 ** 20;

/** Throws BAD_INPUT where the triangle would not fit into a weight frame. */
export function products(channels: number, lags: number): Products {
  const entries = channels * (lags + 1);
  const size = entries + 1;
  const length = (size * (size + 1)) / 2;
  if (length > MOST) {
    throw new FleetError(
      "BAD_INPUT",
      `the products of ${entries} values are ${length} numbers, more than the ${MOST} of a version; take fewer channels or lags`,
    );
  }
  /** Where row i of the triangle would begin if it had all columns. */
  const begins = Float64Array.from({ length: size }, (_, i) => i * size - (i * (i - 1)) / 2 - i);
  const place = (i: number, j: number) => begins[i]! + j;
  const prior = new Float32Array(length);
  for (let i = 0; i < size; i++) prior[place(i, i)] = 1;

  const entry = (channel: number, lag: number) => 1 + lag * channels + channel;
  const tile = new Float64Array(TILE_A * TILE_B);
  let columns = new Float64Array(0);

  /** The rows as columns of float64, one a channel that is not 0 throughout, as a constant one is after scaling; then as many of zeros as the last tile may reach into. */
  const intoColumns = (rows: Float32Array): readonly number[] => {
    const count = rows.length / channels;
    const room = (channels + TILE_B) * count;
    if (columns.length < room) columns = new Float64Array(room);
    const active: number[] = [];
    for (let channel = 0; channel < channels; channel++) {
      const at = active.length * count;
      let isZero = true;
      for (let t = 0; t < count; t++) {
        const value = rows[t * channels + channel]!;
        columns[at + t] = value;
        if (value !== 0) isZero = false;
      }
      if (!isZero) active.push(channel);
    }
    const end = active.length * count;
    columns.fill(0, end, end + TILE_B * count);
    return active;
  };

  return {
    size,
    layout: [{ name: "products", shape: [length] }],
    prior,
    add(rows, sums) {
      const active = intoColumns(rows);
      const n = active.length;
      const count = rows.length / channels;
      const samples = count - lags;
      /** The products of columns a and b, `lag` rows apart, wherever they stand in v. `sum`: with the sample's own row in a. */
      const addPair = (a: number, b: number, lag: number, sum: number) => {
        const x = a * count;
        const y = b * count - lag;
        const i = entry(active[a]!, 0);
        const j = entry(active[b]!, lag);
        for (let back = 0, all = sum; ; back++) {
          sums[place(i + back * channels, j + back * channels)]! += all;
          if (back + lag === lags) return;
          // All one row earlier: the product before the first one comes in, the last one goes out.
          const t = lags - 1 - back;
          all += columns[x + t]! * columns[y + t]! - columns[x + t + samples]! * columns[y + t + samples]!;
        }
      };
      sums[0]! += samples;
      for (let lag = 0; lag <= lags; lag++) {
        for (let a = 0; a < n; a++) {
          const at = a * count + lags - lag;
          let sum = 0;
          for (let t = at; t < at + samples; t++) sum += columns[t]!;
          sums[entry(active[a]!, lag)]! += sum;
        }
        for (let a = 0; a < n; a += TILE_A) {
          // Without lag it is as with a and b exchanged.
          const from = lag === 0 ? a : 0;
          for (let b = from - (from % TILE_B); b < n; b += TILE_B) {
            dots(columns, { a: a * count + lags, b: b * count + lags - lag, count, samples }, tile);
            for (let i = a; i < Math.min(n, a + TILE_A); i++) {
              for (let j = Math.max(b, lag === 0 ? i : 0); j < Math.min(n, b + TILE_B); j++)
                addPair(i, j, lag, tile[(i - a) * TILE_B + j - b]!);
            }
          }
        }
      }
    },
    mean: (means, i, j) => means[i <= j ? place(i, j) : place(j, i)]!,
  };
}

/** Columns of one side and of the other whose products are summed together: eight sums and six factors stay in registers. */
const TILE_A = 2;
const TILE_B = 4;

interface Dots {
  /** Where the first column of each side begins; those after it lie `count` further each. */
  readonly a: number;
  readonly b: number;
  readonly count: number;
  readonly samples: number;
}

/** out: (TILE_A, TILE_B), the sums of products of two columns each. */
function dots(columns: Float64Array, { a, b, count, samples }: Dots, out: Float64Array): void {
  const [b1, b2, b3] = [b + count, b + 2 * count, b + 3 * count];
  const a1 = a + count;
  let [p0, p1, p2, p3] = [0, 0, 0, 0];
  let [q0, q1, q2, q3] = [0, 0, 0, 0];
  for (let t = 0; t < samples; t++) {
    const p = columns[a + t]!;
    const q = columns[a1 + t]!;
    const y0 = columns[b + t]!;
    const y1 = columns[b1 + t]!;
    const y2 = columns[b2 + t]!;
    const y3 = columns[b3 + t]!;
    p0 += p * y0;
    p1 += p * y1;
    p2 += p * y2;
    p3 += p * y3;
    q0 += q * y0;
    q1 += q * y1;
    q2 += q * y2;
    q3 += q * y3;
  }
  out[0] = p0;
  out[1] = p1;
  out[2] = p2;
  out[3] = p3;
  out[4] = q0;
  out[5] = q1;
  out[6] = q2;
  out[7] = q3;
}

/** Mean (n) and covariance (n, n) of x, from the means of v v'. */
export function meanAndCovariance({ size, mean }: Products, means: Float64Array) {
  const n = size - 1;
  const mu = Float64Array.from({ length: n }, (_, c) => mean(means, 0, c + 1));
  const covariance = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) covariance[i * n + j] = mean(means, i + 1, j + 1) - mu[i]! * mu[j]!;
  }
  return { mu, covariance };
}
