import { FleetError } from "../../protocol/errors.ts";

/**
 * What a device tells of its data so that the fleet can scale alike: per channel the count, the mean and M2, the sum of
 * squared differences from the mean. No minimum or maximum: those are raw values, which never leave a device.
 */
export interface ChannelStatistics {
  readonly channels: number;
  /** (channels) each. */
  readonly count: Float64Array;
  readonly mean: Float64Array;
  readonly m2: Float64Array;
}

export function emptyStatistics(channels: number): ChannelStatistics {
  const zeros = () => new Float64Array(channels);
  return { channels, count: zeros(), mean: zeros(), m2: zeros() };
}

/**
 * Takes rows (rows, channels) into `statistics`, in place; NaN is skipped. Numerically stable in one pass.
 * Source: Welford 1962, Technometrics 4(3).
 */
export function observe(statistics: ChannelStatistics, values: Float32Array | Float64Array): void {
  const { channels, count, mean, m2 } = statistics;
  for (let i = 0, c = 0; i < values.length; i++, c = c + 1 === channels ? 0 : c + 1) {
    const x = values[i]!;
    if (Number.isNaN(x)) continue;
    const n = count[c]! + 1;
    const delta = x - mean[c]!;
    const moved = mean[c]! + delta / n;
    count[c] = n;
    mean[c] = moved;
    m2[c] = m2[c]! + delta * (x - moved);
  }
}

/** Statistics of rows from..to-1 of a series. */
export function seriesStatistics(
  series: { readonly values: Float32Array; readonly channels: number; readonly rows: number },
  range: { readonly from: number; readonly to: number } = { from: 0, to: series.rows },
): ChannelStatistics {
  const statistics = emptyStatistics(series.channels);
  observe(statistics, series.values.subarray(range.from * series.channels, range.to * series.channels));
  return statistics;
}

/**
 * The statistics of two sets of rows together, as if they had been one.
 * Source: Chan, Golub, LeVeque 1979, Updating Formulae and a Pairwise Algorithm, equation 2.1.
 */
export function mergeTwo(a: ChannelStatistics, b: ChannelStatistics): ChannelStatistics {
  if (a.channels !== b.channels) {
    throw new FleetError(
      "BAD_SHAPE",
      `statistics of ${b.channels} channels can't join those of ${a.channels}`,
    );
  }
  const out = emptyStatistics(a.channels);
  for (let c = 0; c < a.channels; c++) {
    const nA = a.count[c]!;
    const nB = b.count[c]!;
    const n = nA + nB;
    out.count[c] = n;
    if (n === 0) continue;
    const delta = b.mean[c]! - a.mean[c]!;
    out.mean[c] = a.mean[c]! + (delta * nB) / n;
    out.m2[c] = a.m2[c]! + b.m2[c]! + ((delta * delta * nA) / n) * nB;
  }
  return out;
}

/** Merges the statistics of a fleet in the order of the ids, so that any order of arrival gives the same bits. */
export function mergeInOrder(
  list: Iterable<readonly [id: string, statistics: ChannelStatistics]>,
): ChannelStatistics {
  const sorted = [...list].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const first = sorted[0];
  if (!first)
    throw new FleetError("BAD_INPUT", "there are no statistics to merge; wait for at least one device");
  return sorted.reduce((sum, [, next]) => mergeTwo(sum, next), emptyStatistics(first[1].channels));
}

/** As `mergeInOrder`, on statistics as they come over the wire. */
export function mergeStatistics(list: Iterable<readonly [id: string, encoded: Uint8Array]>): Uint8Array {
  return encodeStatistics(
    mergeInOrder([...list].map(([id, encoded]) => [id, decodeStatistics(encoded)] as const)),
  );
}

/** One binary field for the wire: count (channels), mean (channels), M2 (channels), little-endian float64. */
export function encodeStatistics(statistics: ChannelStatistics): Uint8Array {
  const { channels, count, mean, m2 } = statistics;
  const out = new Float64Array(PARTS * channels);
  out.set(count);
  out.set(mean, channels);
  out.set(m2, 2 * channels);
  return new Uint8Array(out.buffer);
}

/** Reads what `encodeStatistics` wrote. Throws BAD_MESSAGE for another size and values that can't be, NOT_FINITE for NaN. */
export function decodeStatistics(encoded: Uint8Array): ChannelStatistics {
  const channels = encoded.length / PARTS / Float64Array.BYTES_PER_ELEMENT;
  if (!Number.isInteger(channels) || channels === 0) {
    throw new FleetError(
      "BAD_MESSAGE",
      `channel statistics of ${encoded.length} bytes are not 24 bytes a channel`,
    );
  }
  // A copy, because a view into a message does not start where a float64 may.
  const numbers = new Float64Array(Uint8Array.from(encoded).buffer);
  if (!numbers.every(Number.isFinite)) {
    throw new FleetError(
      "NOT_FINITE",
      "channel statistics hold NaN or infinity; the device must count its data again",
    );
  }
  const part = (i: number) => numbers.slice(i * channels, (i + 1) * channels);
  const [count, mean, m2] = [part(0), part(1), part(2)];
  if (!count.every((n) => Number.isSafeInteger(n) && n >= 0) || !m2.every((v) => v >= 0)) {
    throw new FleetError("BAD_MESSAGE", "channel statistics hold a negative or broken count or M2");
  }
  // M2/n + mean^2 is the mean square, which no float32 data has larger. It adds up over devices, so what is merged keeps to it too,
  // and no device can drive the fleet's scaler to infinity.
  if (!mean.every((m, c) => m2[c]! / Math.max(1, count[c]!) + m * m <= MOST_MEAN_SQUARE)) {
    throw new FleetError("BAD_MESSAGE", "channel statistics hold a mean or M2 that no float32 data has");
  }
  return { channels, count, mean, m2 };
}

/** The square of the largest float32, and room for rounding. */
const MOST_MEAN_SQUARE = (2 - 2 ** -23) ** 2 * 2 ** 254 * (1 + 2 ** -20);
/** count, mean, M2. */
const PARTS = 3;
