import type { Running } from "../protocol/messages.ts";
import type { RoundSpec } from "../protocol/task.ts";

/** An update that passed the gate. */
export interface Receipt {
  readonly device: string;
  readonly xfer: string;
  /** Of the update's frame, in the blobs. */
  readonly sha256: string;
  readonly samples: number;
  readonly loss: number;
  readonly heldBackLoss: number;
  readonly trainMs: number;
  readonly atMs: number;
}

export interface Plan {
  readonly task: string;
  readonly number: number;
  /** Drawn for this round; an update must carry it. */
  readonly nonce: string;
  readonly base: Running;
  readonly cohort: readonly string[];
  /** Updates with which the round waits only for `graceMs` more. */
  readonly quorum: number;
  /** Updates without which the round is aborted at its deadline. */
  readonly floor: number;
  readonly graceMs: number;
  readonly openedMs: number;
  /** Moment of the deadline, milliseconds since 1970. */
  readonly deadlineMs: number;
}

interface Common extends Plan {
  readonly receipts: ReadonlyMap<string, Receipt>;
  /** Devices that said no, or whose update was refused, with the code. */
  readonly declined: ReadonlyMap<string, string>;
  readonly late: ReadonlySet<string>;
}

/** plan -> invite -> collect -> aggregate -> publish -> closed, or aborted on the way. */
export type Round =
  | (Common & { readonly phase: "collecting"; readonly quorumMs: number | undefined })
  | (Common & { readonly phase: "aggregating" })
  | (Common & { readonly phase: "publishing"; readonly version: Running; readonly aggregateMs: number })
  | (Common & {
      readonly phase: "closed";
      readonly version: Running;
      readonly aggregateMs: number;
      readonly closedMs: number;
    })
  | (Common & { readonly phase: "aborted"; readonly reason: string; readonly closedMs: number });

export type RoundEvent =
  | { readonly kind: "update"; readonly receipt: Receipt }
  | { readonly kind: "decline"; readonly device: string; readonly code: string }
  | { readonly kind: "tick" }
  | { readonly kind: "aggregated"; readonly version: Running; readonly aggregateMs: number }
  | { readonly kind: "published" };

/**
 * What the loop must do, in this order. `record` and `save` make the step durable; what answers a device (`store`, `refuse`) comes after them.
 */
export type RoundEffect =
  | { readonly kind: "record"; readonly receipt: Receipt }
  | { readonly kind: "record-late"; readonly device: string }
  | { readonly kind: "record-decline"; readonly device: string; readonly code: string }
  | { readonly kind: "save" }
  | { readonly kind: "add"; readonly receipt: Receipt }
  | { readonly kind: "store"; readonly device: string; readonly xfer: string }
  | { readonly kind: "refuse"; readonly device: string; readonly xfer: string; readonly message: string }
  | { readonly kind: "cancel"; readonly devices: readonly string[]; readonly message: string }
  | { readonly kind: "aggregate" }
  | { readonly kind: "publish"; readonly version: Running };

export interface RoundStep {
  readonly round: Round;
  readonly effects: readonly RoundEffect[];
}

export function openRound(plan: Plan): RoundStep {
  return {
    round: {
      ...plan,
      phase: "collecting",
      quorumMs: undefined,
      receipts: new Map(),
      declined: new Map(),
      late: new Set(),
    },
    effects: [{ kind: "save" }],
  };
}

/**
 * One step of a round. Pure: same round, event and clock, same step. An update counts once per device, whatever is sent how often; what arrives
 * after the round stopped collecting is late and never changes the sum.
 */
export function step(round: Round, event: RoundEvent, nowMs: number): RoundStep {
  switch (event.kind) {
    case "update":
      return takeUpdate(round, event.receipt, nowMs);
    case "decline":
      return takeDecline(round, event.device, event.code, nowMs);
    case "tick":
      return round.phase === "collecting" ? closeIfDue(round, [], nowMs) : { round, effects: [] };
    case "aggregated":
      if (round.phase !== "aggregating") return { round, effects: [] };
      return {
        round: {
          ...common(round),
          phase: "publishing",
          version: event.version,
          aggregateMs: event.aggregateMs,
        },
        effects: [{ kind: "save" }, { kind: "publish", version: event.version }],
      };
    case "published":
      if (round.phase !== "publishing") return { round, effects: [] };
      return { round: { ...round, phase: "closed", closedMs: nowMs }, effects: [{ kind: "save" }] };
  }
}

/** What a coordinator that starts again does first with a round that its journal holds. */
export function resume(round: Round): readonly RoundEffect[] {
  switch (round.phase) {
    case "collecting":
      return [...round.receipts.values()].map((receipt) => ({ kind: "add", receipt }));
    case "aggregating":
      return [
        ...[...round.receipts.values()].map((receipt) => ({ kind: "add", receipt }) as const),
        { kind: "aggregate" },
      ];
    case "publishing":
      return [{ kind: "publish", version: round.version }];
    default:
      return [];
  }
}

export function isOver(round: Round): boolean {
  return round.phase === "closed" || round.phase === "aborted";
}

/** Devices of the cohort that have neither sent an update nor said no. */
export function unanswered(round: Round): readonly string[] {
  return round.cohort.filter((device) => !round.receipts.has(device) && !round.declined.has(device));
}

export interface CohortOptions {
  readonly spec: RoundSpec;
  /** Devices that could train now. */
  readonly ready: readonly string[];
  /** Uniform in [0, 1): decides who is left out where not all are invited. */
  readonly random: () => number;
}

/** Who is invited, and how many updates make the quorum. */
export function chooseCohort({ spec, ready, random }: CohortOptions): {
  readonly cohort: readonly string[];
  readonly quorum: number;
} {
  const wanted = Math.max(1, Math.ceil(spec.target * ready.length));
  const invited = Math.min(ready.length, Math.ceil(wanted * (1 + spec.overInvite)));
  const pool = [...ready].sort();
  // Fisher-Yates, only as far as needed.
  for (let i = 0; i < invited; i++) {
    const j = i + Math.floor(random() * (pool.length - i));
    [pool[i], pool[j]] = [pool[j]!, pool[i]!];
  }
  return { cohort: pool.slice(0, invited).sort(), quorum: Math.max(1, Math.ceil(spec.quorum * wanted)) };
}

type Collecting = Extract<Round, { phase: "collecting" }>;

function takeUpdate(round: Round, receipt: Receipt, nowMs: number): RoundStep {
  const { device, xfer } = receipt;
  const known = round.receipts.get(device);
  if (known !== undefined) {
    if (known.xfer === xfer) return { round, effects: [{ kind: "store", device, xfer }] };
    return {
      round,
      effects: [
        {
          kind: "refuse",
          device,
          xfer,
          message: `round ${round.number} has an update of this device already`,
        },
      ],
    };
  }
  if (!round.cohort.includes(device)) {
    return {
      round,
      effects: [
        { kind: "refuse", device, xfer, message: `the device was not invited to round ${round.number}` },
      ],
    };
  }
  if (round.phase !== "collecting") {
    const refuse = {
      kind: "refuse",
      device,
      xfer,
      message: `round ${round.number} is over; the update came too late`,
    } as const;
    if (round.late.has(device)) return { round, effects: [refuse] };
    return {
      round: { ...round, late: new Set([...round.late, device]) },
      effects: [{ kind: "record-late", device }, refuse],
    };
  }
  const receipts = new Map([...round.receipts, [device, receipt]]);
  // A device that said no and then sent an update after all has answered once.
  const declined = new Map([...round.declined].filter(([name]) => name !== device));
  const effects: RoundEffect[] = [
    { kind: "record", receipt },
    { kind: "add", receipt },
    { kind: "store", device, xfer },
  ];
  return closeIfDue({ ...round, receipts, declined }, effects, nowMs);
}

function takeDecline(round: Round, device: string, code: string, nowMs: number): RoundStep {
  const answered = round.receipts.has(device) || round.declined.has(device);
  if (round.phase !== "collecting" || answered || !round.cohort.includes(device))
    return { round, effects: [] };
  const declined = new Map([...round.declined, [device, code]]);
  return closeIfDue({ ...round, declined }, [{ kind: "record-decline", device, code }], nowMs);
}

function closeIfDue(round: Collecting, effects: readonly RoundEffect[], nowMs: number): RoundStep {
  const quorumMs = round.quorumMs ?? (round.receipts.size >= round.quorum ? nowMs : undefined);
  const waiting = unanswered(round);
  const graceOver = quorumMs !== undefined && nowMs >= quorumMs + round.graceMs;
  if (waiting.length > 0 && !graceOver && nowMs < round.deadlineMs)
    return { round: { ...round, quorumMs }, effects };

  const cancel: RoundEffect[] =
    waiting.length > 0
      ? [{ kind: "cancel", devices: waiting, message: `round ${round.number} is over` }]
      : [];
  if (round.receipts.size < Math.max(1, round.floor)) {
    const reason = `${round.receipts.size} of at least ${round.floor} updates at the ${waiting.length > 0 ? "deadline" : "end"}`;
    return {
      round: { ...common(round), phase: "aborted", reason, closedMs: nowMs },
      effects: [...effects, { kind: "save" }, ...cancel],
    };
  }
  return {
    round: { ...common(round), phase: "aggregating" },
    effects: [...effects, { kind: "save" }, ...cancel, { kind: "aggregate" }],
  };
}

function common(round: Round): Common {
  const {
    task,
    number,
    nonce,
    base,
    cohort,
    quorum,
    floor,
    graceMs,
    openedMs,
    deadlineMs,
    receipts,
    declined,
    late,
  } = round;
  return {
    task,
    number,
    nonce,
    base,
    cohort,
    quorum,
    floor,
    graceMs,
    openedMs,
    deadlineMs,
    receipts,
    declined,
    late,
  };
}
