import type { Clock } from "./clock.ts";

/** A token bucket: pure, the clock is the caller's. It may go into debt, so that one taking is never split. */
export interface Bucket {
  readonly bytesPerSecond: number;
  readonly level: number;
  readonly atMs: number;
}

export function fullBucket(bytesPerSecond: number, nowMs: number): Bucket {
  return { bytesPerSecond, level: bytesPerSecond, atMs: nowMs };
}

/** Takes `bytes` out, and says after how long they may be sent. One second's worth may go at once. */
export function takeFrom(
  bucket: Bucket,
  bytes: number,
  nowMs: number,
): { readonly bucket: Bucket; readonly waitMs: number } {
  const { bytesPerSecond } = bucket;
  const filled = Math.min(
    bytesPerSecond,
    bucket.level + (Math.max(0, nowMs - bucket.atMs) / 1000) * bytesPerSecond,
  );
  const level = filled - bytes;
  return {
    bucket: { bytesPerSecond, level, atMs: Math.max(nowMs, bucket.atMs) },
    waitMs: level >= 0 ? 0 : (-level / bytesPerSecond) * 1000,
  };
}

/** Keeps transfers within a constrained link's bandwidth. */
export interface Throttle {
  /** Resolves when `bytes` may be sent. */
  take(bytes: number, signal: AbortSignal): Promise<void>;
  /** How long `bytes` are under way at full speed. */
  durationMs(bytes: number): number;
}

/** Without a limit (0), nothing ever waits. */
export function throttle(bytesPerSecond: number, clock: Clock): Throttle {
  if (bytesPerSecond <= 0) return { take: () => Promise.resolve(), durationMs: () => 0 };
  let bucket = fullBucket(bytesPerSecond, clock.steadyMs());
  return {
    async take(bytes, signal) {
      const taken = takeFrom(bucket, bytes, clock.steadyMs());
      bucket = taken.bucket;
      if (taken.waitMs > 0) await clock.sleep(taken.waitMs, signal);
    },
    durationMs: (bytes) => (bytes / bytesPerSecond) * 1000,
  };
}
