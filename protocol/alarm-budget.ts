import { FleetError } from "./errors.ts";

/** False alarms that a user will put up with. */
export interface AlarmBudget {
  readonly alarms: number;
  readonly perSeconds: number;
}

/**
 * "1 per week", "2/day", "1 false alarm per week", "3 alarms every 2 months", "0.5 a day", "one per hour". A month has 30 days.
 * Throws BAD_INPUT for anything else.
 */
export function parseAlarmBudget(text: string): AlarmBudget {
  const match = BUDGET.exec(text.trim());
  const [, count = "", span = "1", unit = ""] = match ?? [];
  const alarms = /^(?:one|an?)$/i.test(count) ? 1 : Number(count);
  const perSeconds = Number(span) * (UNIT_SECONDS[unit.toLowerCase()] ?? Number.NaN);
  if (!match || !(alarms > 0) || !(perSeconds > 0) || !Number.isFinite(alarms / perSeconds)) {
    const shown = text.length > 60 ? `${text.slice(0, 60)}...` : text;
    throw new FleetError(
      "BAD_INPUT",
      `the alarm budget "${shown}" can't be read; write it like "1 per week" or "2/day"`,
    );
  }
  return { alarms, perSeconds };
}

const NUMBER = String.raw`\d{1,9}(?:\.\d{1,9})?`;
const BUDGET = new RegExp(
  String.raw`^(${NUMBER}|one|an?)\s*(?:false\s+)?(?:alarms?\s*)?(?:per|\/|every|each|an?)\s*(?:(${NUMBER})\s*)?(minute|hour|day|week|month|year)s?$`,
  "i",
);
const UNIT_SECONDS: Readonly<Record<string, number>> = {
  minute: 60,
  hour: 3600,
  day: 86_400,
  week: 7 * 86_400,
  month: 30 * 86_400,
  year: 365 * 86_400,
};
