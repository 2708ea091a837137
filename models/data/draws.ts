import { createRandom } from "../engine/random.ts";

/** Draws of one independent stream: streams with different keys share nothing, so that one can change alone. */
export interface Draws {
  /** Uniform in [0, 1). */
  unit(): number;
  between(low: number, high: number): number;
  /** Whole number in low..high, both included. */
  whole(low: number, high: number): number;
  /** Standard normal. */
  normal(): number;
  pick<T>(items: readonly T[]): T;
}

export function draws(...key: readonly (number | string)[]): Draws {
  const { uniform: unit, normal } = createRandom(hash(key.join("/")));
  const between = (low: number, high: number) => low + (high - low) * unit();
  const whole = (low: number, high: number) => low + Math.floor(unit() * (high - low + 1));
  return {
    unit,
    between,
    whole,
    normal,
    pick: (items) => items[whole(0, items.length - 1)]!,
  };
}

/** FNV-1a, 32 bit. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}
