import type { Invite } from "../protocol/messages.ts";

/** A device's part in a round. One training at a time; each invitation (its nonce) is answered once, and the same again when it is repeated. */
export type Participation =
  | { readonly phase: "idle"; readonly declined?: Refusal & { readonly nonce: string } }
  /** Its base version is on the way. */
  | { readonly phase: "waiting"; readonly invite: Invite; readonly untilMs: number }
  | { readonly phase: "training"; readonly invite: Invite; readonly untilMs: number }
  /** The update is in the outbox, which knows the rest. */
  | { readonly phase: "sending"; readonly nonce: string; readonly round: number };

export interface Refusal {
  readonly code: string;
  readonly message: string;
}

/** Can training start from the invitation's base version? */
export type Base =
  | { readonly kind: "installed" }
  | { readonly kind: "coming" }
  | ({ readonly kind: "impossible" } & Refusal);

export type RoundsEvent =
  | { readonly kind: "invite"; readonly invite: Invite; readonly base: Base }
  | { readonly kind: "cancel"; readonly nonce: string }
  | { readonly kind: "base"; readonly sha256: string; readonly base: Base }
  /** A version of this or a later round is wanted: the coordinator has closed the round. */
  | { readonly kind: "published"; readonly task: string; readonly round: number }
  | { readonly kind: "trained"; readonly nonce: string }
  | ({ readonly kind: "broke"; readonly nonce: string } & Refusal)
  | { readonly kind: "tick" };

export type RoundsEffect =
  | { readonly kind: "accept"; readonly invite: Invite }
  | ({ readonly kind: "decline"; readonly invite: Invite } & Refusal)
  | { readonly kind: "train"; readonly invite: Invite }
  /** Ends the training that is under way. */
  | { readonly kind: "stop" }
  /** The same invitation again: the update that was made for it is offered again, or its refusal said. */
  | { readonly kind: "repeat"; readonly invite: Invite }
  | { readonly kind: "drop-update" };

export interface RoundsStep {
  readonly state: Participation;
  readonly effects: readonly RoundsEffect[];
}

/** One step. Pure: same state, event and clock, same step. */
export function stepRounds(state: Participation, event: RoundsEvent, nowMs: number): RoundsStep {
  const stay: RoundsStep = { state, effects: [] };
  switch (event.kind) {
    case "invite":
      return invited(state, event.invite, event.base, nowMs);
    case "cancel":
      if (nonceOf(state) !== event.nonce) return stay;
      return {
        state: { phase: "idle" },
        effects: [...stopOf(state), ...(state.phase === "sending" ? [{ kind: "drop-update" } as const] : [])],
      };
    case "base":
      if (state.phase !== "waiting" || state.invite.base !== event.sha256) return stay;
      return begin(state.invite, event.base, state.untilMs);
    case "published": {
      const over =
        (state.phase === "waiting" || state.phase === "training") &&
        state.invite.task === event.task &&
        state.invite.round <= event.round;
      return over ? { state: { phase: "idle" }, effects: stopOf(state) } : stay;
    }
    case "trained":
      if (state.phase !== "training" || state.invite.nonce !== event.nonce) return stay;
      return { state: { phase: "sending", nonce: event.nonce, round: state.invite.round }, effects: [] };
    case "broke":
      if (state.phase !== "training" || state.invite.nonce !== event.nonce) return stay;
      return decline(state.invite, event);
    case "tick":
      if ((state.phase !== "waiting" && state.phase !== "training") || nowMs < state.untilMs) return stay;
      if (state.phase === "training") {
        const late = { code: "TIMEOUT", message: "training was not over at the round's deadline" };
        const step = decline(state.invite, late);
        return { ...step, effects: [{ kind: "stop" }, ...step.effects] };
      }
      return decline(state.invite, {
        code: "STALE_BASE",
        message: "the round's base version was not installed before its deadline",
      });
  }
}

function invited(state: Participation, invite: Invite, base: Base, nowMs: number): RoundsStep {
  const untilMs = nowMs + invite.deadlineMs;
  if (nonceOf(state) !== invite.nonce) {
    // The coordinator has moved on. An update of an earlier round stays in the outbox until it is answered or replaced.
    const step = begin(invite, base, untilMs);
    return { ...step, effects: [...stopOf(state), ...step.effects] };
  }
  switch (state.phase) {
    case "idle":
      return { state, effects: [{ kind: "decline", invite, ...refusalOf(state) }] };
    case "waiting":
      return begin(invite, base, untilMs);
    case "training":
      return { state: { ...state, untilMs }, effects: [{ kind: "accept", invite }] };
    case "sending":
      return { state, effects: [{ kind: "repeat", invite }] };
  }
}

function begin(invite: Invite, base: Base, untilMs: number): RoundsStep {
  switch (base.kind) {
    case "impossible":
      return decline(invite, base);
    case "coming":
      return { state: { phase: "waiting", invite, untilMs }, effects: [] };
    case "installed":
      return {
        state: { phase: "training", invite, untilMs },
        effects: [
          { kind: "accept", invite },
          { kind: "train", invite },
        ],
      };
  }
}

function decline(invite: Invite, { code, message }: Refusal): RoundsStep {
  return {
    state: { phase: "idle", declined: { nonce: invite.nonce, code, message } },
    effects: [{ kind: "decline", invite, code, message }],
  };
}

function nonceOf(state: Participation): string | undefined {
  if (state.phase === "idle") return state.declined?.nonce;
  return state.phase === "sending" ? state.nonce : state.invite.nonce;
}

function stopOf(state: Participation): readonly RoundsEffect[] {
  return state.phase === "training" ? [{ kind: "stop" }] : [];
}

function refusalOf({ declined }: Extract<Participation, { phase: "idle" }>): Refusal {
  return { code: declined?.code ?? "UNAVAILABLE", message: declined?.message ?? "declined before" };
}
