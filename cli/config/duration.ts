const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

/** `500ms`, `30s`, `5m`, `1h` or seconds without a unit, in milliseconds. */
export const duration = {
  show(ms: unknown): string {
    const [unit, size] =
      Object.entries(unitMs)
        .reverse()
        .find(([, size]) => Number(ms) % size === 0) ?? (["ms", 1] as const);
    return `${Number(ms) / size}${unit}`;
  },
  expected: 'a duration such as "30s", "500ms", "5m" or "1h"',
  read(text: string): number | undefined {
    const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h)?$/.exec(text.trim());
    if (match === null) return undefined;
    return Math.round(Number(match[1]) * unitMs[(match[2] ?? "s") as keyof typeof unitMs]);
  },
};
