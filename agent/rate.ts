/** Rows per second of a source that does not say: from the times of its last rows. */
export interface RateMeter {
  /** The next row's time, milliseconds since 1970. No allocation. */
  see(atMs: number): void;
  /** Undefined until there are enough rows. */
  hz(): number | undefined;
}

const keptRows = 257;
const fewestRows = 33;

/**
 * By the median gap, which an outage or a wrong clock does not move; where most rows come in groups with one time, by rows over time.
 */
export function rateMeter(): RateMeter {
  const times = new Float64Array(keptRows);
  let seen = 0;
  return {
    see(atMs) {
      times[seen++ % keptRows] = atMs;
    },
    hz() {
      const count = Math.min(seen, keptRows);
      if (count < fewestRows) return undefined;
      const at = (i: number) => times[(seen - count + i) % keptRows]!;
      const gaps = Float64Array.from({ length: count - 1 }, (_, i) => at(i + 1) - at(i)).sort();
      const median = gaps[gaps.length >> 1]!;
      const gapMs = median > 0 ? median : (at(count - 1) - at(0)) / (count - 1);
      return gapMs > 0 && Number.isFinite(gapMs) ? 1000 / gapMs : undefined;
    },
  };
}
