import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Participation, type RoundsEffect, type RoundsEvent, stepRounds } from "../../agent/rounds.ts";
import type { Invite } from "../../protocol/messages.ts";
import { TrainingSpec } from "../../protocol/task.ts";

function invite(round: number, base = "b"): Invite {
  const nonce = String(round).padStart(32, "0");
  return {
    kind: "invite",
    task: "main",
    round,
    nonce,
    base: base.repeat(64),
    deadlineMs: 1000,
    training: TrainingSpec.parse({}),
    seed: 1,
  };
}

const event: fc.Arbitrary<RoundsEvent> = fc.integer({ min: 1, max: 3 }).chain((round) => {
  const { nonce, task, base: sha256 } = invite(round);
  const base = fc.constantFrom(
    { kind: "installed" } as const,
    { kind: "coming" } as const,
    { kind: "impossible", code: "UNAVAILABLE", message: "no" } as const,
  );
  return fc.oneof(
    base.map((b): RoundsEvent => ({ kind: "invite", invite: invite(round), base: b })),
    base.map((b): RoundsEvent => ({ kind: "base", sha256, base: b })),
    fc.constantFrom<RoundsEvent>(
      { kind: "cancel", nonce },
      { kind: "trained", nonce },
      { kind: "broke", nonce, code: "NOT_FINITE", message: "diverged" },
      { kind: "published", task, round },
      { kind: "tick" },
    ),
  );
});

describe("rounds", () => {
  it("never train twice at once, and end a training before the next begins, for any order of events", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(event, fc.integer({ min: 0, max: 600 })), { maxLength: 40 }),
        (events) => {
          let state: Participation = { phase: "idle" };
          let training: string | undefined;
          let nowMs = 0;
          for (const [next, passedMs] of events) {
            nowMs += passedMs;
            const step = stepRounds(state, next, nowMs);
            state = step.state;
            // A training that ends by itself is no longer under way when its event comes.
            if ((next.kind === "trained" || next.kind === "broke") && next.nonce === training)
              training = undefined;
            for (const effect of step.effects) {
              if (effect.kind === "stop") training = undefined;
              if (effect.kind !== "train") continue;
              expect(training).toBeUndefined();
              training = effect.invite.nonce;
            }
            expect(state.phase === "training" ? state.invite.nonce : undefined).toBe(training);
          }
        },
      ),
    );
  });

  it("answer the same invitation the same way and train for it once", () => {
    const first = stepRounds(
      { phase: "idle" },
      { kind: "invite", invite: invite(1), base: { kind: "installed" } },
      0,
    );
    expect(kinds(first.effects)).toEqual(["accept", "train"]);
    const again = stepRounds(
      first.state,
      { kind: "invite", invite: invite(1), base: { kind: "installed" } },
      10,
    );
    expect(kinds(again.effects)).toEqual(["accept"]);
    const trained = stepRounds(again.state, { kind: "trained", nonce: invite(1).nonce }, 20);
    const late = stepRounds(
      trained.state,
      { kind: "invite", invite: invite(1), base: { kind: "installed" } },
      30,
    );
    expect(kinds(late.effects)).toEqual(["repeat"]);
  });

  it("wait for the base until the deadline, then decline", () => {
    const waiting = stepRounds(
      { phase: "idle" },
      { kind: "invite", invite: invite(1), base: { kind: "coming" } },
      0,
    );
    expect(waiting).toMatchObject({ state: { phase: "waiting" }, effects: [] });
    expect(stepRounds(waiting.state, { kind: "tick" }, 999).effects).toEqual([]);
    expect(stepRounds(waiting.state, { kind: "tick" }, 1000).effects).toMatchObject([
      { kind: "decline", code: "STALE_BASE" },
    ]);
    const base = { kind: "base", sha256: invite(1).base, base: { kind: "installed" } } as const;
    expect(kinds(stepRounds(waiting.state, base, 500).effects)).toEqual(["accept", "train"]);
  });

  it("drop the update of a round that is cancelled", () => {
    const sending: Participation = { phase: "sending", nonce: invite(1).nonce, round: 1 };
    expect(kinds(stepRounds(sending, { kind: "cancel", nonce: invite(1).nonce }, 0).effects)).toEqual([
      "drop-update",
    ]);
    expect(stepRounds(sending, { kind: "cancel", nonce: invite(2).nonce }, 0).effects).toEqual([]);
  });
});

function kinds(effects: readonly RoundsEffect[]): string[] {
  return effects.map(({ kind }) => kind);
}
