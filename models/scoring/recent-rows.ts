/** The last n rows, in places that are used again and again. */
export function recentRows(n: number) {
  const places = Array.from(
    { length: n },
    (): RecentRow => ({ row: 0, score: Number.NaN, contributions: new Float64Array(0) }),
  );
  let next = 0;
  let count = 0;
  let countAbove = 0;
  const take = (row: number, score: number): RecentRow => {
    const place = places[next]!;
    if (count === n && isAbove(place)) countAbove--;
    place.row = row;
    place.score = score;
    next = next + 1 === n ? 0 : next + 1;
    if (count < n) count++;
    return place;
  };
  return {
    get countAbove() {
      return countAbove;
    },
    below(row: number): void {
      take(row, Number.NaN);
    },
    above(row: number, score: number, contributions: ArrayLike<number>): void {
      const place = take(row, score);
      countAbove++;
      if (place.contributions.length !== contributions.length)
        place.contributions = new Float64Array(contributions.length);
      place.contributions.set(contributions);
    },
    /** Oldest first; valid until the next row. */
    list: (): readonly RecentRow[] =>
      Array.from({ length: count }, (_, i) => places[(next - count + i + n) % n]!),
    clear(): void {
      count = 0;
      countAbove = 0;
    },
  };
}

export interface RecentRow {
  row: number;
  /** NaN for a row that was not above the threshold. */
  score: number;
  /** Of a row above it. */
  contributions: Float64Array;
}

export function isAbove({ score }: RecentRow): boolean {
  return !Number.isNaN(score);
}
