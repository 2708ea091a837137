/** What is left of a long row of numbers in a picture: the lowest and the highest in each column of pixels. */
export interface Envelope {
  /** (columns) each; NaN where all values of a column are. */
  readonly low: Float64Array;
  readonly high: Float64Array;
}

export function envelope(values: ArrayLike<number>, columns: number): Envelope {
  const low = new Float64Array(columns).fill(Number.NaN);
  const high = new Float64Array(columns).fill(Number.NaN);
  for (let column = 0; column < columns; column++) {
    const { from, to } = columnRows(column, columns, values.length);
    for (let i = from; i < to; i++) {
      const value = values[i]!;
      // Written so that a NaN among the bounds gives way and one among the values does not enter.
      if (!(low[column]! <= value)) low[column] = Number.isNaN(value) ? low[column]! : value;
      if (!(high[column]! >= value)) high[column] = Number.isNaN(value) ? high[column]! : value;
    }
  }
  return { low, high };
}

/** Rows that a column shows: at least one, also where there are fewer rows than columns. */
export function columnRows(column: number, columns: number, rows: number): { from: number; to: number } {
  const from = Math.min(rows - 1, Math.floor((column * rows) / columns));
  return { from, to: Math.max(from + 1, Math.floor(((column + 1) * rows) / columns)) };
}

/** 1..254 for values of low..high, 0 and 255 for those beyond it. */
export function toBytes(values: Float64Array, { low, high }: { low: number; high: number }): Uint8Array {
  const range = high - low || 1;
  return Uint8Array.from(values, (value) =>
    Math.max(0, Math.min(255, 1 + Math.round((253 * (value - low)) / range))),
  );
}

export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}
