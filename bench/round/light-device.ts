import { connectAsync } from "mqtt";
import { decode, encode } from "../../protocol/codec.ts";
import { encodeFrame, type UpdateHeader, type VersionHeader } from "../../protocol/frame.ts";
import { transferId } from "../../protocol/idempotency.ts";
import type { Join } from "../../protocol/join.ts";
import { limits } from "../../protocol/limits.ts";
import { readManifest } from "../../protocol/manifest.ts";
import {
  Ack,
  Command,
  type Invite,
  ModelChunk,
  type Offer,
  type Request,
  type Running,
  Want,
} from "../../protocol/messages.ts";
import { parseTopic, topics } from "../../protocol/topics.ts";
import { type Assembly, assemble, chunkCount, describe, slice } from "../../protocol/transfer.ts";
import { channels } from "./workload.ts";

export interface LightDeviceOptions {
  readonly layout: VersionHeader["layout"];
  /** What it sends in every round, as if it had trained. */
  readonly delta: Float32Array;
  readonly samples: number;
}

const bootSeq = 1;
/** Chunks that a device asks for at once. */
const windowSize = limits.window;

/** Speaks the whole protocol of a device over its own connection, as short as it goes: nothing on disk, nothing verified but hashes, no retries. */
export async function connectLightDevice(
  join: Join,
  { layout, delta, samples }: LightDeviceOptions,
): Promise<void> {
  const { device } = join;
  const client = await connectAsync(join.url, {
    clientId: device,
    username: device,
    password: join.token,
    clean: true,
    reconnectPeriod: 0,
  });
  let running: Running | undefined;
  let coming: { readonly version: Running; readonly task: string; readonly assembly: Assembly } | undefined;
  let invite: Invite | undefined;
  let update: { readonly offer: Offer; readonly bytes: Uint8Array } | undefined;

  const publish = (topic: string, message: object, { maxBytes = limits.controlBytes, retain = false } = {}) =>
    client.publish(topic, Buffer.from(encode(message, { maxBytes })), { qos: 1, retain });
  const request = (message: Request) => publish(topics.up(device, "req"), message);

  const wanted = ({ version: signed }: Want) => {
    if (signed === null) return;
    const { number, task, transfer } = readManifest(signed);
    if (running?.sha256 === transfer.sha256 || coming?.version.sha256 === transfer.sha256) return;
    coming = { version: { number, sha256: transfer.sha256 }, task, assembly: assemble(transfer) };
    const indexes = Array.from({ length: chunkCount(transfer) }, (_, i) => i);
    for (let from = 0; from < indexes.length; from += windowSize)
      request({
        kind: "pull",
        task,
        sha256: transfer.sha256,
        indexes: indexes.slice(from, from + windowSize),
      });
  };
  const took = ({ sha256, index, data }: ModelChunk) => {
    if (coming?.version.sha256 !== sha256) return;
    coming.assembly.add(index, data);
    if (!coming.assembly.complete()) return;
    const { task, version } = coming;
    running = version;
    coming = undefined;
    request({ kind: "status", task, state: "installed", version });
    answer();
  };
  const answer = () => {
    if (invite === undefined || invite.base !== running?.sha256) return;
    const { task, round, nonce, base } = invite;
    invite = undefined;
    request({ kind: "accept", task, round, nonce });
    const bytes = encodeFrame<UpdateHeader>({ kind: "update", layout, base, samples }, delta);
    const manifest = describe(bytes, limits.chunkBytes);
    const xfer = transferId({ device, task, round, nonce, bootSeq, sha256: manifest.sha256 });
    const about = { samples, loss: 0.5, heldBackLoss: 0.5, trainMs: 0 };
    update = { bytes, offer: { kind: "offer", xfer, task, round, nonce, bootSeq, base, ...about, manifest } };
    request(update.offer);
  };
  const answered = (ack: Ack) => {
    if (ack.kind !== "transfer" || update === undefined || ack.xfer !== update.offer.xfer) return;
    const { offer, bytes } = update;
    // "open" comes after the offer and after every chunk but the last: all were sent at the first.
    update = undefined;
    if (ack.state !== "open") return;
    for (let index = 0; index < chunkCount(offer.manifest); index++) {
      const data = slice(bytes, offer.manifest.chunkBytes, index);
      publish(topics.chunkUp(device, offer.xfer), { index, data }, { maxBytes: limits.publishBytes });
    }
  };

  client.on("message", (topic, payload) => {
    switch (parseTopic(topic)?.kind) {
      case "want":
        return wanted(decode(Want, payload));
      case "chunk":
        return took(decode(ModelChunk, payload, { maxBytes: limits.publishBytes }));
      case "ack":
        return answered(decode(Ack, payload));
      case "cmd": {
        const command = decode(Command, payload);
        if (command.kind === "invite") invite = command;
        return answer();
      }
      default:
        return undefined;
    }
  });
  await client.subscribeAsync(topics.inbox(device), { qos: 1 });
  const birth = {
    kind: "birth",
    bootSeq,
    agent: "bench",
    channels,
    running: null,
    chunkBytes: limits.chunkBytes,
  };
  publish(topics.up(device, "state"), birth, { retain: true });
}
