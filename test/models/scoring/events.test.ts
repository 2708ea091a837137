import fc from "fast-check";
import { expect, test } from "vitest";
import { type AlarmEvent, type AlarmRule, alarmMachine } from "../../../models/scoring/events.ts";

const RULE: AlarmRule = { threshold: 1, k: 2, n: 3, gap: 2 };

function run(scores: readonly number[], rule: AlarmRule = RULE): AlarmEvent[] {
  const machine = alarmMachine(rule);
  return scores.flatMap((score, row) => machine.push(row, score, Float32Array.of(score, 1)) ?? []);
}

test("events - an alarm starts at k of n and ends after the gap, with its duration, peak and channels", () => {
  expect(run([0, 3, 0, 5, 9, 0, 4, 0, 0, 0])).toEqual([
    {
      kind: "onset",
      row: 3,
      since: 1,
      score: 5,
      threshold: 1,
      topChannels: [
        { channel: 0, share: 0.8 },
        { channel: 1, share: 0.2 },
      ],
    },
    {
      kind: "end",
      row: 8,
      since: 1,
      until: 6,
      durationRows: 6,
      peakScore: 9,
      peakRow: 4,
      topChannels: [
        { channel: 0, share: 21 / 25 },
        { channel: 1, share: 4 / 25 },
      ],
      causes: [
        { channel: 0, share: 21 / 25 },
        { channel: 1, share: 4 / 25 },
      ],
    },
  ]);
});

test("events - one row alone, or too far apart, is no alarm; a score equal to the threshold is none either", () => {
  expect(run([9, 0, 0, 9, 0, 0, 9])).toEqual([]);
  expect(run([1, 1, 1, 1])).toEqual([]);
});

test("events - the onset's channels come from the rows above the threshold only", () => {
  const machine = alarmMachine(RULE);
  machine.push(0, 2, Float32Array.of(0, 2));
  machine.push(1, 0.5, Float32Array.of(50, 0));
  const onset = machine.push(2, 2, Float32Array.of(1, 1));
  expect(onset?.topChannels).toEqual([
    { channel: 1, share: 0.75 },
    { channel: 0, share: 0.25 },
  ]);
});

test("events - the ranking of causes is of the first rows: what a fault spreads to later does not count", () => {
  const machine = alarmMachine(RULE);
  let end: AlarmEvent | undefined;
  for (let row = 0; row < 60; row++) {
    // The fault begins in channel 2 and shows in channel 0 after fifteen rows, far stronger.
    const share = row < 15 ? Float32Array.of(0, 1, 3) : Float32Array.of(50, 0, 0);
    end ??= machine.push(row, row < 40 ? 2 + row / 10 : 0, share);
    if (end?.kind === "onset") end = undefined;
  }
  expect(end).toMatchObject({ kind: "end", since: 0, until: 39, peakRow: 39, peakScore: 5.9 });
  const { topChannels, causes } = end as Extract<AlarmEvent, { kind: "end" }>;
  expect(topChannels[0]?.channel).toBe(0);
  expect(causes).toEqual([
    { channel: 2, share: 0.75 },
    { channel: 1, share: 0.25 },
  ]);
});

test("events - with a lower release level a hovering score is one alarm and not many", () => {
  const hover = [2, 2, 0.9, 0.9, 2, 2, 0.9, 0.9, 2, 2, 0, 0];
  expect(run(hover).filter((e) => e.kind === "onset").length).toBe(3);
  expect(run(hover, { ...RULE, release: 0.8 }).filter((e) => e.kind === "onset").length).toBe(1);
});

test("events - a row where nothing was seen changes nothing", () => {
  const scores = [0, 3, 5, 0, 0];
  const gaps = scores.flatMap((score) => [score, Number.NaN]);
  const kinds = (events: AlarmEvent[]) => events.map(({ kind }) => kind);
  expect(kinds(run(gaps))).toEqual(kinds(run(scores)));
});

const rules = fc.record({
  threshold: fc.constant(1),
  k: fc.integer({ min: 1, max: 4 }),
  n: fc.integer({ min: 4, max: 7 }),
  gap: fc.integer({ min: 1, max: 5 }),
  release: fc.constantFrom(0.5, 1),
});
const scores = fc.array(fc.constantFrom(0, 0.7, 1, 2, 5, Number.NaN), { maxLength: 80 });

test("events - onset and end alternate, and an alarm spans what it says", () => {
  const property = fc.property(rules, scores, (rule, list) => {
    const events = run(list, rule);
    for (const [i, event] of events.entries()) {
      expect(event.kind).toBe(i % 2 === 0 ? "onset" : "end");
      if (event.kind !== "end") continue;
      const inside = list.slice(event.since, event.until + 1);
      expect(event.since).toBe(events[i - 1]?.since);
      expect(event.durationRows).toBe(inside.length);
      expect(event.peakScore).toBe(Math.max(...inside.filter((s) => !Number.isNaN(s))));
      expect(list[event.peakRow]).toBe(event.peakScore);
      expect(inside.filter((s) => s > 1).length).toBeGreaterThanOrEqual(rule.k);
      expect(list.slice(event.until + 1, event.row + 1).some((s) => s > rule.release)).toBe(false);
    }
  });
  fc.assert(property);
});

test("events - restarted from its saved state at any row, it says the same", () => {
  const property = fc.property(rules, scores, fc.infiniteStream(fc.boolean()), (rule, list, restarts) => {
    let machine = alarmMachine(rule);
    const events = list.flatMap((score, row) => {
      if (restarts.next().value) machine = alarmMachine(rule, JSON.parse(JSON.stringify(machine.state())));
      return machine.push(row, score, Float32Array.of(score, 1)) ?? [];
    });
    expect(events).toEqual(run(list, rule));
    expect(machine.state().recent.length).toBeLessThanOrEqual(rule.n);
  });
  fc.assert(property);
});

test("events - rules that can't be are said", () => {
  const expectRefused = (rule: Partial<AlarmRule>, sentence: string) =>
    expect(() => alarmMachine({ ...RULE, ...rule })).toThrow(sentence);
  expectRefused({ threshold: Number.NaN }, "threshold NaN is not a finite number");
  expectRefused({ k: 4 }, "an alarm at 4 of 3 scores can't be; give whole numbers with 1 <= k <= n");
  expectRefused({ gap: 0 }, "gap 0 must be a whole number above 0, and release 1 within 0..1");
});

test("events - an alarm begins at the k-th of the last n scores above the threshold, with the sum of their terms, restarted anywhere", () => {
  const rule = fc
    .integer({ min: 1, max: 6 })
    .chain((n) => fc.record({ n: fc.constant(n), k: fc.integer({ min: 1, max: n }) }));
  const scores = fc.array(fc.record({ above: fc.boolean(), missing: fc.boolean(), restart: fc.boolean() }), {
    minLength: 1,
    maxLength: 40,
  });
  fc.assert(
    fc.property(rule, scores, ({ n, k }, rows) => {
      let machine = alarmMachine({ threshold: 1, k, n });
      const seen: { row: number; above: boolean }[] = [];
      for (const [row, { above, missing, restart }] of rows.entries()) {
        if (restart) machine = alarmMachine({ threshold: 1, k, n }, structuredClone(machine.state()));
        const event = machine.push(
          row,
          missing ? Number.NaN : above ? 2 + row : 0.5,
          Float32Array.of(row, 2 * row),
        );
        if (!missing) seen.push({ row, above });
        const last = seen.slice(-n).filter((one) => one.above);
        if (last.length < k) {
          expect(event).toBeUndefined();
          continue;
        }
        expect(event).toMatchObject({ kind: "onset", row, since: last[0]!.row });
        const sum = last.reduce((total, one) => total + one.row, 0);
        expect(machine.state()).toMatchObject({
          recent: [],
          open: { peakRow: last.at(-1)!.row, contributions: [sum, 2 * sum], causeRows: k },
        });
        return;
      }
    }),
  );
});
