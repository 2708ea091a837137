import closeWithGrace from "close-with-grace";

/** After this long a close that hangs is given up, and the process ends with an error. */
const graceMs = 10_000;

export interface Lifecycle {
  /** Runs once, on SIGINT, SIGTERM, an uncaught error, the parent's end, or when `ended` settles. A second signal ends the process at once. */
  close(why: { readonly error?: unknown; readonly signal?: string }): Promise<void>;
  /** End when stdin does: the process that started us holds its other end, and even kill -9 closes that. */
  readonly exitWithParent: boolean;
  /** Resolves when the work is done by itself, rejects when it failed. */
  readonly ended?: Promise<unknown>;
}

/** Resolves with the exit code once everything is closed; after a signal the process ends here. */
export function runUntilStopped({ close, exitWithParent, ended }: Lifecycle): Promise<number> {
  return new Promise((resolve, reject) => {
    let stopping = false;
    const closeOnce = async (why: { error?: unknown; signal?: string }) => {
      if (stopping) return;
      stopping = true;
      await close(why);
    };
    const grace = closeWithGrace({ delay: graceMs, logger: false }, ({ err, signal }) =>
      closeOnce({ ...(err !== undefined && { error: err }), ...(signal !== undefined && { signal }) }),
    );
    const stop = (why: { error?: unknown }) => {
      setTimeout(() => process.exit(1), graceMs).unref();
      closeOnce(why).then(() => {
        grace.uninstall();
        resolve("error" in why ? 1 : 0);
      }, reject);
    };
    if (exitWithParent) {
      process.stdin.on("end", () => stop({})).on("error", () => stop({}));
      process.stdin.resume();
    }
    ended?.then(
      () => stop({}),
      (error: unknown) => stop({ error }),
    );
  });
}
