/**
 * Words by which threads tell each other how far they are. Both only ever count up, and no thread runs ahead of them: whoever waits for a count
 * finds exactly that.
 */
export const TURN = 0; // how often the helpers were let go on
export const ARRIVED = 1; // how often a helper has done what it was let go on to do
/** Samples of the batch in hand; 0: there is none, the fit is over. */
export const BATCH = 2;
export const WORDS = 3;

/** Looks before a thread sleeps, about 0.1 ms on a server: twice what waking up takes, so that to wait in vain costs little. */
const LOOKS = 15_000;

/** Counts up one more and wakes who waits for it. */
export function advance(words: Int32Array, at: number): void {
  Atomics.add(words, at, 1);
  Atomics.notify(words, at);
}

/** Blocks until the count is `wanted`, or for about `patienceMs`; whether it is. */
export function waitFor(words: Int32Array, at: number, wanted: number, patienceMs?: number): boolean {
  for (let look = 0; look < LOOKS; look++) if (Atomics.load(words, at) === wanted) return true;
  for (;;) {
    const now = Atomics.load(words, at);
    if (now === wanted) return true;
    if (Atomics.wait(words, at, now, patienceMs) === "timed-out") return Atomics.load(words, at) === wanted;
  }
}

/** The count after `count`, as the words wrap around. */
export function after(count: number, steps = 1): number {
  return (count + steps) | 0;
}
