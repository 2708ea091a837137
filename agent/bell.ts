import type { Clock } from "./clock.ts";

/** Wakes a loop that waits: for a while, or until something rings. A ring while nobody waits is not lost. */
export interface Bell {
  ring(): void;
  wait(ms: number, signal: AbortSignal): Promise<void>;
}

export function bell(clock: Clock): Bell {
  let rung = false;
  let wake: AbortController | undefined;
  return {
    ring() {
      rung = true;
      wake?.abort();
    },
    async wait(ms, signal) {
      if (!rung && !signal.aborted) {
        wake = new AbortController();
        const stop = wake;
        const onAbort = () => stop.abort();
        signal.addEventListener("abort", onAbort);
        await clock.sleep(ms, stop.signal);
        signal.removeEventListener("abort", onAbort);
        wake = undefined;
      }
      rung = false;
    },
  };
}
