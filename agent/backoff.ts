export interface Backoff {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * How long to wait before try number `tries` + 1: doubled with every try, and drawn from its upper half, so that a fleet
 * that lost its coordinator at one moment does not come back at one moment.
 */
export function backoffMs({ firstMs, maxMs }: Backoff, tries: number, random: () => number): number {
  const ceiling = Math.min(maxMs, firstMs * 2 ** Math.min(tries, 30));
  return ceiling * (0.5 + 0.5 * random());
}
