import type { Blobs } from "../../coordinator/blobs.ts";
import type { Journal } from "../../coordinator/journal.ts";
import type { Receipt } from "../../coordinator/round.ts";
import { streams } from "../../coordinator/round-record.ts";
import { exactSum } from "../../models/kernels/reference/exact-sum.ts";
import { decodeFrame } from "../../protocol/frame.ts";

export interface RoundOnDisk {
  readonly journal: Journal;
  readonly blobs: Blobs;
  readonly task: string;
  readonly round: number;
}

/** The updates that the journal says a round accepted. */
export async function receiptsOf({ journal, task, round }: RoundOnDisk): Promise<readonly Receipt[]> {
  const entries = await journal.read(streams.receipts(task), { label: String(round) });
  return entries.map(({ value }) => value as Receipt);
}

/** Federated averaging with big integers over what the journal holds: the version that a round must have made, bit for bit. */
export async function referenceAverage(where: RoundOnDisk, base: Float32Array): Promise<Float32Array> {
  const updates = [];
  for (const { sha256, samples } of await receiptsOf(where)) {
    updates.push({ values: decodeFrame(await where.blobs.get(sha256)).weights, weight: samples });
  }
  const total = updates.reduce((sum, { weight }) => sum + weight, 0);
  return exactSum(updates).reduce((out, sum, i) => {
    out[i] = base[i]! + (Number(sum) * 2 ** -72) / total;
    return out;
  }, new Float32Array(base.length));
}
