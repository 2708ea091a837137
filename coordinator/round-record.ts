import { z } from "zod";
import { RoundView } from "../protocol/api.ts";
import { Running } from "../protocol/messages.ts";
import type { Entry, Journal, Write } from "./journal.ts";
import { isOver, type Receipt, type Round, type Plan as RoundPlan } from "./round.ts";

/**
 * How a round lies in the journal. Its head (plan and phase) is one cell that changes; receipts, late updates and refusals are entries of their
 * own, so that taking one update writes one row however large the cohort is; a finished round is an entry of `rounds/{task}`.
 */
export const streams = {
  receipts: (task: string) => `updates/${task}`,
  declines: (task: string) => `declines/${task}`,
  late: (task: string) => `late/${task}`,
  finished: (task: string) => `rounds/${task}`,
} as const;

const headCell = (task: string) => `open-round/${task}`;

const Plan = z.object({
  task: z.string(),
  number: z.number(),
  nonce: z.string(),
  base: Running,
  cohort: z.array(z.string()),
  quorum: z.number(),
  floor: z.number(),
  graceMs: z.number(),
  openedMs: z.number(),
  deadlineMs: z.number(),
});
const Head = z.discriminatedUnion("phase", [
  Plan.extend({ phase: z.literal("collecting") }),
  Plan.extend({ phase: z.literal("aggregating") }),
  Plan.extend({ phase: z.literal("publishing"), version: Running, aggregateMs: z.number() }),
  Plan.extend({
    phase: z.literal("closed"),
    version: Running,
    aggregateMs: z.number(),
    closedMs: z.number(),
  }),
  Plan.extend({ phase: z.literal("aborted"), reason: z.string(), closedMs: z.number() }),
]);
const StoredReceipt = z.object({
  device: z.string(),
  xfer: z.string(),
  sha256: z.string(),
  samples: z.number(),
  loss: z.number(),
  heldBackLoss: z.number(),
  trainMs: z.number(),
  atMs: z.number(),
});

export function receiptWrite({ task, number }: RoundPlan, receipt: Receipt): Write {
  return {
    kind: "append",
    stream: streams.receipts(task),
    key: `${number}/${receipt.device}`,
    label: String(number),
    value: receipt,
  };
}

export function declineWrite({ task, number }: RoundPlan, device: string, code: string): Write {
  const value = { device, code };
  return {
    kind: "append",
    stream: streams.declines(task),
    key: `${number}/${device}`,
    label: String(number),
    value,
  };
}

export function lateWrite(
  { task, number }: { readonly task: string; readonly number: number },
  device: string,
): Write {
  return {
    kind: "append",
    stream: streams.late(task),
    key: `${number}/${device}`,
    label: String(number),
    value: { device },
  };
}

/** The head of the round, and its entry in the history once it is over. */
export function saveWrites(round: Round): readonly Write[] {
  const { receipts: _, declined: __, late: ___, ...head } = round;
  const put: Write = { kind: "put", cell: headCell(round.task), value: head };
  if (!isOver(round)) return [put];
  return [
    put,
    {
      kind: "append",
      stream: streams.finished(round.task),
      key: String(round.number),
      value: viewRound(round),
    },
  ];
}

/** The round that the journal holds as the task's present one, as far as it came. */
export async function loadRound(journal: Journal, task: string): Promise<Round | undefined> {
  const found = await journal.get(headCell(task));
  if (found === undefined) return undefined;
  const head = Head.parse(found.value);
  const label = String(head.number);
  const receipts = (await journal.read(streams.receipts(task), { label })).map(({ value }) =>
    StoredReceipt.parse(value),
  );
  const declined = (await journal.read(streams.declines(task), { label })).map(({ value }) =>
    Decline.parse(value),
  );
  const late = (await journal.read(streams.late(task), { label })).map(({ value }) => Late.parse(value));
  const answers = {
    receipts: new Map(receipts.map((receipt) => [receipt.device, receipt])),
    // A device that said no and then sent an update after all has answered once.
    declined: new Map(
      declined
        .filter((d) => !receipts.some(({ device }) => device === d.device))
        .map(({ device, code }) => [device, code]),
    ),
    late: new Set(late.map(({ device }) => device)),
  };
  return head.phase === "collecting" ? { ...head, quorumMs: undefined, ...answers } : { ...head, ...answers };
}

const Decline = z.object({ device: z.string(), code: z.string() });
const Late = z.object({ device: z.string() });

export function viewRound(round: Round): RoundView {
  const receipts = [...round.receipts.values()];
  const samples = receipts.reduce((sum, receipt) => sum + receipt.samples, 0);
  const mean = (of: (receipt: Receipt) => number) =>
    samples === 0
      ? null
      : receipts.reduce((sum, receipt) => sum + of(receipt) * receipt.samples, 0) / samples;
  return {
    task: round.task,
    round: round.number,
    phase: round.phase,
    base: round.base.sha256,
    openedMs: round.openedMs,
    closedMs: "closedMs" in round ? round.closedMs : null,
    invited: [...round.cohort],
    accepted: receipts.map(({ device }) => device).sort(),
    declined: [...round.declined].map(([device, code]) => ({ device, code })),
    late: [...round.late].sort(),
    loss: mean(({ loss }) => loss),
    heldBackLoss: mean(({ heldBackLoss }) => heldBackLoss),
    samples,
    trainMs: receipts.reduce((sum, { trainMs }) => sum + trainMs, 0),
    aggregateMs: "aggregateMs" in round ? round.aggregateMs : null,
    version: "version" in round ? round.version : null,
    reason: round.phase === "aborted" ? round.reason : null,
  };
}

/** A finished round as it was when it ended, with the updates that came late since. */
export async function readFinished(journal: Journal, task: string, entry: Entry): Promise<RoundView> {
  const late = await journal.read(streams.late(task), { label: entry.key });
  return { ...RoundView.parse(entry.value), late: late.map(({ value }) => Late.parse(value).device).sort() };
}
