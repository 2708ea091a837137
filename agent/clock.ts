import { performance } from "node:perf_hooks";

export interface Clock {
  /** Milliseconds since 1970, for what is shown and stored. May jump. */
  wallMs(): number;
  /** Milliseconds that never go back, for deadlines and intervals. */
  steadyMs(): number;
  /** Resolves after `ms`, or at once when the signal aborts: who waits looks at the signal afterwards. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  steadyMs: () => performance.now(),
  sleep(ms, signal) {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener("abort", done);
    });
  },
};
