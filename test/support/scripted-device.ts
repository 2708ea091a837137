import { connectAsync, type MqttClient } from "mqtt";
import { decode, encode } from "../../protocol/codec.ts";
import type { PreparedChannels } from "../../protocol/device-channels.ts";
import { decodeFrame, encodeFrame, type UpdateHeader, type VersionHeader } from "../../protocol/frame.ts";
import { transferId } from "../../protocol/idempotency.ts";
import type { Join } from "../../protocol/join.ts";
import { limits } from "../../protocol/limits.ts";
import { readManifest } from "../../protocol/manifest.ts";
import { Ack, Command, type Invite, ModelChunk, type Offer, Want } from "../../protocol/messages.ts";
import { parseTopic, topics } from "../../protocol/topics.ts";
import { assemble, chunkCount, describe, slice } from "../../protocol/transfer.ts";
import { until } from "./until.ts";

/** A device that does exactly what a test tells it, over a real connection. */
export interface ScriptedDevice {
  readonly name: string;
  readonly client: MqttClient;
  readonly wants: Want[];
  readonly commands: Command[];
  readonly acks: Ack[];
  request(message: object): Promise<void>;
  /** Waits for the invitation to a round. */
  invitation(round: number): Promise<Invite>;
  /** Pulls the wanted version and reads it. */
  version(): Promise<{
    readonly sha256: string;
    readonly header: VersionHeader;
    readonly weights: Float32Array;
  }>;
  /** Makes the offer and the frame of an update; `change` spoils either. */
  makeUpdate(invite: Invite, weights: Float32Array, header: VersionHeader, options?: UpdateOptions): Update;
  /** Offers, sends all chunks and waits for the end of the transfer. */
  send(update: Update): Promise<Extract<Ack, { kind: "transfer" }>>;
  close(): Promise<void>;
}

export interface UpdateOptions {
  readonly samples?: number;
  readonly loss?: number;
  readonly chunkBytes?: number;
  readonly base?: string;
  readonly device?: string;
  readonly layout?: VersionHeader["layout"];
  /** In place of the frame. */
  readonly bytes?: Uint8Array;
}

export interface Update {
  readonly offer: Offer;
  readonly bytes: Uint8Array;
}

export async function connectDevice(
  join: Join,
  options: {
    readonly channels: number;
    readonly bootSeq?: number;
    /** Of columns that are prepared by kinds. */
    readonly prepared?: PreparedChannels;
  },
): Promise<ScriptedDevice> {
  const { device } = join;
  const bootSeq = options.bootSeq ?? 1;
  const will = { topic: topics.up(device, "state"), qos: 1 as const, retain: true };
  const client = await connectAsync(join.url, {
    clientId: device,
    username: device,
    password: join.token,
    clean: true,
    reconnectPeriod: 0,
    will: { ...will, payload: Buffer.from(encode({ kind: "death", bootSeq, reason: "lost" })) },
  });
  const wants: Want[] = [];
  const commands: Command[] = [];
  const acks: Ack[] = [];
  const chunks: ModelChunk[] = [];
  client.on("message", (topic, payload) => {
    switch (parseTopic(topic)?.kind) {
      case "want":
        return wants.push(decode(Want, payload));
      case "cmd":
        return commands.push(decode(Command, payload));
      case "ack":
        return acks.push(decode(Ack, payload));
      case "chunk":
        return chunks.push(decode(ModelChunk, payload, { maxBytes: limits.publishBytes }));
      default:
        return undefined;
    }
  });
  await client.subscribeAsync(topics.inbox(device), { qos: 1 });
  const publish = (topic: string, message: unknown, maxBytes?: number) =>
    client.publishAsync(topic, Buffer.from(encode(message, maxBytes === undefined ? {} : { maxBytes })), {
      qos: 1,
    });
  const request = async (message: object) => {
    await publish(topics.up(device, "req"), message);
  };
  const birth = {
    kind: "birth",
    bootSeq,
    agent: "test",
    channels: options.channels,
    running: null,
    chunkBytes: limits.chunkBytes,
    ...(options.prepared && {
      channelNames: options.prepared.names,
      channelKinds: options.prepared.kinds,
    }),
  };
  await client.publishAsync(topics.up(device, "state"), Buffer.from(encode(birth)), { qos: 1, retain: true });

  return {
    name: device,
    client,
    wants,
    commands,
    acks,
    request,
    invitation: (round) =>
      until(
        () => commands.find((c): c is Invite => c.kind === "invite" && c.round === round),
        `the invitation to round ${round}`,
      ),
    async version() {
      const want = await until(() => wants.findLast(({ version }) => version !== null), "a wanted version");
      const { transfer, task } = readManifest(want.version!);
      const assembly = assemble(transfer);
      for (let from = 0; from < chunkCount(transfer); from += limits.window) {
        const count = Math.min(limits.window, chunkCount(transfer) - from);
        const indexes = Array.from({ length: count }, (_, i) => from + i);
        await request({ kind: "pull", task, sha256: transfer.sha256, indexes });
        for (const index of indexes) {
          const chunk = await until(
            () => chunks.find((c) => c.sha256 === transfer.sha256 && c.index === index),
            `chunk ${index}`,
          );
          assembly.add(index, chunk.data);
        }
      }
      const frame = decodeFrame(assembly.bytes());
      if (frame.header.kind !== "version") throw new Error("not a version");
      return { sha256: transfer.sha256, header: frame.header, weights: frame.weights };
    },
    makeUpdate(invite, weights, header, change = {}) {
      const samples = change.samples ?? 10;
      const base = change.base ?? invite.base;
      const layout = change.layout ?? header.layout;
      const bytes =
        change.bytes ?? encodeFrame<UpdateHeader>({ kind: "update", layout, base, samples }, weights);
      const manifest = describe(bytes, change.chunkBytes ?? limits.chunkBytes);
      const { task, round, nonce } = invite;
      const key = { device: change.device ?? device, task, round, nonce, bootSeq, sha256: manifest.sha256 };
      const xfer = transferId(key);
      const about = { loss: change.loss ?? 0.5, heldBackLoss: 0.7, trainMs: 3 };
      return {
        bytes,
        offer: { kind: "offer", xfer, task, round, nonce, bootSeq, base, samples, ...about, manifest },
      };
    },
    async send({ offer, bytes }) {
      const { xfer, manifest } = offer;
      const answers = () =>
        acks.filter((a): a is Extract<Ack, { kind: "transfer" }> => a.kind === "transfer" && a.xfer === xfer);
      const seen = answers().length;
      await request(offer);
      const first = await until(() => answers()[seen], "an answer to the offer");
      if (first.state !== "open") return first;
      for (let index = 0; index < chunkCount(manifest); index++) {
        const data = slice(bytes, manifest.chunkBytes, index);
        await publish(topics.chunkUp(device, xfer), { index, data }, limits.publishBytes);
      }
      return until(() => answers().find(({ state }) => state !== "open"), "the end of the transfer");
    },
    close: () => client.endAsync(true),
  };
}
