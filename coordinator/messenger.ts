import type { TaskView } from "../protocol/api.ts";
import { encode } from "../protocol/codec.ts";
import type { FleetError } from "../protocol/errors.ts";
import { limits } from "../protocol/limits.ts";
import type { SignedManifest } from "../protocol/manifest.ts";
import type { AskStatistics, Cancel, Invite, ModelChunk, TransferAck, Want } from "../protocol/messages.ts";
import type { TaskSpec } from "../protocol/task.ts";
import { topics } from "../protocol/topics.ts";
import { type ChunkSet, noChunks } from "../protocol/transfer.ts";
import type { Plan } from "./round.ts";
import { roundTraining } from "./round-training.ts";

/** Hands a message to the broker. Never waited for: whatever must arrive is sent again until it is answered. */
export type Send = (topic: string, payload: Uint8Array, options: { readonly retain: boolean }) => void;

/** Everything that a task says to its devices. */
export interface Messenger {
  /** problem: why the device can't take part. */
  want(
    device: string,
    wanted: {
      readonly version: SignedManifest | null;
      readonly phase: TaskView["phase"];
      readonly problem?: string | undefined;
    },
  ): void;
  invite(device: string, plan: Plan, nowMs: number): void;
  cancel(device: string, plan: Plan, message: string): void;
  /** fleet: then it is for a quantile sketch in their frame. */
  askStatistics(device: string, nonce: string, fleet?: Uint8Array): void;
  chunk(device: string, chunk: ModelChunk): void;
  /** What is there of a transfer: send the rest. */
  open(device: string, xfer: string, have: ChunkSet): void;
  stored(device: string, xfer: string): void;
  refused(device: string, xfer: string, error: FleetError): void;
}

/** Longest message text that a device takes. */
const maxText = 512;

export function createMessenger(task: TaskSpec, send: Send): Messenger {
  const ack = (device: string, message: TransferAck) =>
    send(topics.down(device, "ack"), encode(message), { retain: false });
  const command = (device: string, message: Invite | Cancel | AskStatistics) =>
    send(topics.down(device, "cmd"), encode(message), { retain: false });

  return {
    want(device, { version, phase, problem }) {
      const want: Want = {
        kind: "want",
        device,
        task,
        version,
        phase: phase === "serving" ? "serving" : "training",
        ...(problem !== undefined && { problem: problem.slice(0, maxText) }),
      };
      send(topics.down(device, "want"), encode(want), { retain: true });
    },
    invite(device, { number, nonce, base, deadlineMs }, nowMs) {
      command(device, {
        kind: "invite",
        task: task.id,
        round: number,
        nonce,
        base: base.sha256,
        deadlineMs: Math.max(1, deadlineMs - nowMs),
        training: roundTraining(task, base.number - 1),
        // A new shuffle every round, the same in every run of the task.
        seed: (task.seed + number * 7919) >>> 0,
      });
    },
    cancel: (device, { number, nonce }, message) =>
      command(device, {
        kind: "cancel",
        task: task.id,
        round: number,
        nonce,
        message: message.slice(0, maxText),
      }),
    askStatistics: (device, nonce, fleet) =>
      command(device, { kind: "ask-statistics", task: task.id, nonce, ...(fleet && { fleet }) }),
    chunk: (device, chunk) =>
      send(topics.down(device, "chunk"), encode(chunk, { maxBytes: limits.publishBytes }), { retain: false }),
    open: (device, xfer, have) => ack(device, { kind: "transfer", xfer, state: "open", have }),
    stored: (device, xfer) => ack(device, { kind: "transfer", xfer, state: "stored", have: noChunks(0) }),
    refused(device, xfer, { code, message }) {
      ack(device, {
        kind: "transfer",
        xfer,
        state: "refused",
        have: noChunks(0),
        code,
        message: message.slice(0, maxText),
      });
    },
  };
}
