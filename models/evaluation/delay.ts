import { type AlarmSpan, overlap, type Span } from "./alarms.ts";

export interface DelayMetrics {
  /** Mean over the events that were found, in rows; NaN when none was. */
  readonly detectionDelay: number;
  /** In rows; of an even number of events, the mean of the middle two. */
  readonly medianDetectionDelay: number;
  /** The mean in seconds; NaN without a rate. */
  readonly detectionDelaySeconds: number;
  /** Events that no alarm overlaps: they have no delay, and are in neither of the two. */
  readonly missedEvents: number;
}

/**
 * How late an operator hears of an event: the rows from its first one to the row at which the first alarm that overlaps
 * it was raised. 0 when that alarm was open before the event began; longer than the event where an alarm that began in
 * it was raised after it.
 */
export function delayMetrics(
  alarms: readonly AlarmSpan[],
  events: readonly Span[],
  rateHz?: number,
): DelayMetrics {
  const delays: number[] = [];
  for (const event of events) {
    const raised = alarms.filter((alarm) => overlap(alarm, event)).map((alarm) => alarm.raised);
    if (raised.length > 0) delays.push(Math.max(0, Math.min(...raised) - event.from));
  }
  const mean = delays.reduce((a, b) => a + b, 0) / delays.length;
  return {
    detectionDelay: mean,
    medianDetectionDelay: median(delays),
    detectionDelaySeconds: rateHz === undefined ? Number.NaN : mean / rateHz,
    missedEvents: events.length - delays.length,
  };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length / 2;
  return sorted.length === 0 ? Number.NaN : (sorted[Math.ceil(half) - 1]! + sorted[Math.floor(half)]!) / 2;
}
