/** What one field of a CSV file says. */

export function isMissing(field: string): boolean {
  return MISSING.test(field);
}

/**
 * The float32-representable number in `field`, NaN when it is missing or infinite, undefined when it is text. With
 * `decimalComma`, "1,5" is one and a half.
 */
export function numberOf(field: string, decimalComma: boolean): number | undefined {
  const value = exactNumberOf(field, decimalComma);
  if (value === undefined) return undefined;
  const rounded = Math.fround(value);
  return Number.isFinite(rounded) ? rounded : Number.NaN;
}

/** As `numberOf`, in float64: a counter of bytes has more digits than a float32 holds, and its differences need them. */
export function exactNumberOf(field: string, decimalComma: boolean): number | undefined {
  const text = decimalComma ? field.replace(",", ".") : field;
  if (!NUMBER.test(text)) return isMissing(field) || INFINITE.test(field) ? Number.NaN : undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : Number.NaN;
}

/**
 * Milliseconds since 1970 of an ISO time, of "YYYY-MM-DD hh:mm:ss" (both UTC when they name no zone, so that every
 * device reads a file alike), or of an epoch in seconds or milliseconds. undefined when it is none of them.
 */
export function timestampOf(field: string, decimalComma: boolean): number | undefined {
  const text = decimalComma ? field.replace(",", ".") : field;
  if (NUMBER.test(text)) {
    const value = Number(text);
    const ms = Math.abs(value) < EPOCH_MS_FROM ? value * 1000 : value;
    return Math.abs(ms) <= LATEST_MS ? ms : undefined;
  }
  return dateOf(field);
}

/** Milliseconds since 1970 of a written date; undefined when it is none. */
export function dateOf(field: string): number | undefined {
  const match = DATE.exec(field);
  if (!match) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((part) => Number(part ?? 0));
  const ms = Date.UTC(year!, month! - 1, day!, hour!, minute!, second!);
  // Date.UTC lets the 31st of February roll on into March: that is a damaged file and no date.
  if (new Date(ms).getUTCDate() !== day || month! > 12 || hour! > 23 || minute! > 59 || second! > 60)
    return undefined;
  return ms + Number(`0.${match[7] ?? 0}`) * 1000 - zoneMs(match[8]);
}

/** Numbers below are seconds (until the year 5138), from here on milliseconds (since 1973). */
const EPOCH_MS_FROM = 1e11;
/** The last millisecond that a Date can be. */
const LATEST_MS = 8.64e15;
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;
const MISSING = /^(?:|[+-]?nan|na|n\/a|null|none|\?)$/i;
const INFINITE = /^[+-]?inf(?:inity)?$/i;
const DATE =
  /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?\s*(Z|[+-]\d\d(?::?\d\d)?)?$/i;

function zoneMs(zone: string | undefined): number {
  if (!zone || zone.toUpperCase() === "Z") return 0;
  const digits = zone.slice(1).replace(":", "").padEnd(4, "0");
  const minutes = Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2));
  return (zone.startsWith("-") ? -minutes : minutes) * 60_000;
}
