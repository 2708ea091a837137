import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * Collects this thread's garbage now. Arrays of megabytes cost V8 only a few words, so it sees no reason to hurry, and a device holds the
 * data of the last job beside those of the next. For the few moments when something large has just been done with; takes milliseconds.
 */
export function freeMemory(): void {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  if (typeof collect === "function") collect();
}
