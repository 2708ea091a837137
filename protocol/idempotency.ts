import { sha256 } from "./hash.ts";
import type { Sha256, TransferId } from "./ids.ts";

/** What makes two sendings the same update, however often and over however many connections it is sent. */
export interface IdempotencyKey {
  readonly device: string;
  readonly task: string;
  readonly round: number;
  readonly nonce: string;
  readonly bootSeq: number;
  readonly sha256: Sha256;
}

export function transferId({
  device,
  task,
  round,
  nonce,
  bootSeq,
  sha256: content,
}: IdempotencyKey): TransferId {
  return sha256(`${device}/${task}/${round}/${nonce}/${bootSeq}/${content}`).slice(0, 32);
}
