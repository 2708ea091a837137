import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  chooseCohort,
  isOver,
  openRound,
  type Plan,
  type Receipt,
  type Round,
  type RoundEffect,
  type RoundEvent,
  resume,
  step,
  unanswered,
} from "../../coordinator/round.ts";
import { RoundSpec } from "../../protocol/task.ts";

const version = { number: 2, sha256: "b".repeat(64) };
const plan: Plan = {
  task: "main",
  number: 1,
  nonce: "n".repeat(32),
  base: { number: 1, sha256: "a".repeat(64) },
  cohort: ["d0", "d1", "d2", "d3", "d4"],
  quorum: 3,
  floor: 2,
  graceMs: 100,
  openedMs: 0,
  deadlineMs: 1000,
};

function receipt(device: string, xfer = `${device}-x`): Receipt {
  return { device, xfer, sha256: `${xfer}-sha`, samples: 10, loss: 1, heldBackLoss: 1, trainMs: 5, atMs: 0 };
}

function update(device: string, xfer?: string): RoundEvent {
  return { kind: "update", receipt: receipt(device, xfer) };
}

function run(events: readonly (readonly [atMs: number, RoundEvent])[], start = openRound(plan)) {
  let { round } = start;
  const effects: RoundEffect[] = [...start.effects];
  for (const [atMs, event] of events) {
    const next = step(round, event, atMs);
    round = next.round;
    effects.push(...next.effects);
  }
  return { round, effects, kinds: effects.map(({ kind }) => kind) };
}

describe("round", () => {
  it("closes when everybody has answered, without waiting", () => {
    const all = plan.cohort.map((device) => [5, update(device)] as const);
    const { round, kinds } = run([
      ...all,
      [6, { kind: "aggregated", version, aggregateMs: 1 }],
      [7, { kind: "published" }],
    ]);
    expect(round).toMatchObject({ phase: "closed", version, closedMs: 7 });
    expect(kinds.filter((kind) => kind === "add")).toHaveLength(5);
    expect(kinds.slice(-5)).toEqual(["save", "aggregate", "save", "publish", "save"]);
  });

  it("waits for the grace after the quorum, then closes without the rest and cancels them", () => {
    const quorum = ["d0", "d1", "d2"].map((device) => [10, update(device)] as const);
    expect(run([...quorum, [109, { kind: "tick" }]]).round.phase).toBe("collecting");
    const closed = run([...quorum, [110, { kind: "tick" }]]);
    expect(closed.round.phase).toBe("aggregating");
    expect(closed.effects).toContainEqual({
      kind: "cancel",
      devices: ["d3", "d4"],
      message: "round 1 is over",
    });
  });

  it("closes at the deadline with the floor and aborts below it", () => {
    const two = [
      [1, update("d0")],
      [2, update("d1")],
      [1000, { kind: "tick" }],
    ] as const;
    expect(run(two).round.phase).toBe("aggregating");
    const one = run([
      [1, update("d0")],
      [1000, { kind: "tick" }],
    ]);
    expect(one.round).toMatchObject({ phase: "aborted", reason: "1 of at least 2 updates at the deadline" });
    expect(one.kinds).not.toContain("aggregate");
  });

  it("goes on without a device that says no", () => {
    const events = plan.cohort.map((device, i) =>
      i < 2
        ? ([1, update(device)] as const)
        : ([1, { kind: "decline", device, code: "UNAVAILABLE" }] as const),
    );
    expect(run(events).round.phase).toBe("aggregating");
  });

  it("counts an update that comes after the close as late, once, and never adds it", () => {
    const events = [
      [1, update("d0")],
      [1, update("d1")],
      [1000, { kind: "tick" }],
      [1001, update("d2")],
      [1002, update("d2")],
    ] as const;
    const { round, kinds } = run(events);
    expect([...round.late]).toEqual(["d2"]);
    expect(kinds.filter((kind) => kind === "add")).toHaveLength(2);
    expect(kinds.filter((kind) => kind === "record-late")).toHaveLength(1);
    expect(kinds.filter((kind) => kind === "refuse")).toHaveLength(2);
  });

  it("acknowledges the same transfer again and refuses another one of the same device", () => {
    const { kinds } = run([
      [1, update("d0")],
      [2, update("d0")],
      [3, update("d0", "other")],
    ]);
    expect(kinds).toEqual(["save", "record", "add", "store", "store", "refuse"]);
  });

  it("refuses an update of a device that was not invited", () => {
    const { round, kinds } = run([[1, update("stranger")]]);
    expect(round.receipts.size).toBe(0);
    expect(kinds).toEqual(["save", "refuse"]);
  });

  const device = fc.constantFrom(...plan.cohort, "stranger");
  const event: fc.Arbitrary<RoundEvent> = fc.oneof(
    {
      weight: 5,
      arbitrary: fc
        .tuple(device, fc.constantFrom("x", "y"))
        .map(([name, xfer]) => update(name, `${name}-${xfer}`)),
    },
    device.map((name) => ({ kind: "decline" as const, device: name, code: "UNAVAILABLE" })),
    fc.constant({ kind: "tick" as const }),
    fc.constant({ kind: "aggregated" as const, version, aggregateMs: 1 }),
    fc.constant({ kind: "published" as const }),
  );
  const history = fc.array(fc.tuple(fc.nat(40), event), { maxLength: 60 });
  const order = { collecting: 0, aggregating: 1, publishing: 2, closed: 3, aborted: 3 } as const;

  it("any order of events - no device counts twice, the sum is what was recorded, and no phase comes back", () => {
    fc.assert(
      fc.property(history, (steps) => {
        let { round }: { round: Round } = openRound(plan);
        let nowMs = 0;
        const added: string[] = [];
        const recorded: string[] = [];
        for (const [waitMs, next] of steps) {
          nowMs += waitMs;
          const before = round;
          const { round: after, effects } = step(round, next, nowMs);
          for (const effect of effects) {
            if (effect.kind === "add") added.push(effect.receipt.device);
            if (effect.kind === "record") recorded.push(effect.receipt.device);
          }
          // Durable before it is acknowledged.
          const kinds = effects.map(({ kind }) => kind);
          if (kinds.includes("record")) expect(kinds.indexOf("record")).toBeLessThan(kinds.indexOf("store"));
          expect(order[after.phase]).toBeGreaterThanOrEqual(order[before.phase]);
          if (before.phase !== "collecting") expect(after.receipts).toEqual(before.receipts);
          if (isOver(before)) expect(after.phase).toBe(before.phase);
          round = after;
        }
        expect(new Set(added).size).toBe(added.length);
        expect(added).toEqual(recorded);
        expect([...round.receipts.keys()].sort()).toEqual([...added].sort());
        expect(added.every((name) => plan.cohort.includes(name))).toBe(true);
        for (const name of round.late) expect(round.receipts.has(name)).toBe(false);
        for (const name of round.declined.keys()) expect(round.receipts.has(name)).toBe(false);
        if (round.phase === "aggregating") expect(round.receipts.size).toBeGreaterThanOrEqual(plan.floor);
        if (round.phase === "collecting") expect(unanswered(round).length).toBeGreaterThan(0);
      }),
      { numRuns: 1000 },
    );
  });

  it("any round is over one tick after its deadline, or waits only for its own effects", () => {
    fc.assert(
      fc.property(history, (steps) => {
        const events = steps.map(([_, next], i) => [i, next] as const);
        const { round } = run([...events, [plan.deadlineMs, { kind: "tick" }]]);
        expect(round.phase).not.toBe("collecting");
      }),
    );
  });

  it("a round that is read back from its parts goes on to the same sum", () => {
    fc.assert(
      fc.property(history, (steps) => {
        const { round } = run(steps.map(([_, next], i) => [i, next] as const));
        const added = resume(round).filter((effect) => effect.kind === "add");
        const needsSum = round.phase === "collecting" || round.phase === "aggregating";
        expect(added.map(({ receipt }) => receipt.device)).toEqual(
          needsSum ? [...round.receipts.keys()] : [],
        );
        expect(resume(round).some(({ kind }) => kind === "aggregate")).toBe(round.phase === "aggregating");
        expect(resume(round).some(({ kind }) => kind === "publish")).toBe(round.phase === "publishing");
      }),
    );
  });
});

describe("cohort", () => {
  it("over-invites by the stated part and never more than there are", () => {
    const ready = Array.from({ length: 100 }, (_, i) => `d${i}`);
    const spec = RoundSpec.parse({ target: 0.2, overInvite: 0.5, quorum: 0.8 });
    const { cohort, quorum } = chooseCohort({ spec, ready, random: Math.random });
    expect(cohort).toHaveLength(30);
    expect(new Set(cohort).size).toBe(30);
    expect(quorum).toBe(16);
    const all = chooseCohort({
      spec: RoundSpec.parse({ target: 1, overInvite: 0.5 }),
      ready: ["b", "a"],
      random: () => 0,
    });
    expect(all).toEqual({ cohort: ["a", "b"], quorum: 2 });
  });

  it("invites every device equally often", () => {
    const ready = ["a", "b", "c", "d"];
    const spec = RoundSpec.parse({ target: 0.25, overInvite: 0 });
    const counts = new Map<string, number>();
    let seed = 1;
    const random = () => {
      seed = (seed * 48271) % 2147483647;
      return seed / 2147483647;
    };
    for (let i = 0; i < 4000; i++) {
      const [name] = chooseCohort({ spec, ready, random }).cohort;
      counts.set(name!, (counts.get(name!) ?? 0) + 1);
    }
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});
