import { createServer, type Server, type Socket } from "node:net";
import { Aedes } from "aedes";
import { blueprintFor } from "../../models/detectors/catalog.ts";
import { openDetector } from "../../models/detectors/open.ts";
import { decode, encode } from "../../protocol/codec.ts";
import type { PreparedChannels } from "../../protocol/device-channels.ts";
import { encodeFrame, type VersionHeader } from "../../protocol/frame.ts";
import type { Join } from "../../protocol/join.ts";
import { limits } from "../../protocol/limits.ts";
import {
  makeSigningKeys,
  readPrivateKey,
  type SigningKeys,
  signManifest,
  type VersionManifest,
} from "../../protocol/manifest.ts";
import {
  Alert,
  Chunk,
  Heartbeat,
  type Invite,
  type Offer,
  type Pull,
  Request,
  StateMessage,
  type Want,
} from "../../protocol/messages.ts";
import { type AlarmSpec, TaskSpec, TrainingSpec } from "../../protocol/task.ts";
import { parseTopic, topics } from "../../protocol/topics.ts";
import { type Assembly, assemble, describe, slice } from "../../protocol/transfer.ts";
import { until } from "../support/until.ts";

export const device = "dev-1";
const token = "t".repeat(43);

/** A coordinator that does exactly what a test tells it, on a real broker. */
export interface ScriptedCoordinator {
  readonly join: Join;
  readonly states: StateMessage[];
  readonly beats: Heartbeat[];
  readonly alerts: Alert[];
  readonly requests: Request[];
  /** Indexes of update chunks as they came. */
  readonly chunks: number[];
  /** Updates that came complete. */
  readonly updates: Uint8Array[];
  readonly logins: { refuse: boolean; tried: number };
  /** What it answers by itself; a test changes it. */
  readonly manners: {
    pulls: boolean;
    alerts: boolean;
    transfers: boolean;
    /** Spoils a version's chunk on its way. */
    spoil: (index: number, data: Uint8Array) => Uint8Array;
    /** false: the chunk is lost although the broker has acknowledged it. */
    take: (index: number) => boolean;
    /** When a birth or death comes; over before the broker acknowledges it. */
    state: () => Promise<void>;
  };
  /** The requests of one kind so far. */
  of<K extends Request["kind"]>(kind: K): Extract<Request, { kind: K }>[];
  send(kind: "want" | "ack" | "chunk" | "cmd", message: unknown): Promise<void>;
  sendRaw(kind: "want" | "ack" | "chunk" | "cmd", payload: Uint8Array): Promise<void>;
  want(
    version: Version | null,
    options?: {
      phase?: Want["phase"];
      signed?: Want["version"];
      alarm?: Partial<AlarmSpec>;
      task?: Partial<TaskSpec>;
    },
  ): Promise<void>;
  invite(version: Version, options?: Partial<Invite>): Promise<Invite>;
  /** Breaks the connections of all devices. */
  cut(): void;
  close(): Promise<void>;
}

export interface Version {
  readonly manifest: VersionManifest;
  readonly frame: Uint8Array;
  readonly sha256: string;
}

export const channels = 3;

export const task = TaskSpec.parse({
  detector: { name: "gru-forecaster", options: { units: 4 }, window: 8, stride: 4, adaptRows: 0 },
  training: { epochs: 1, batchSize: 16 },
  alarm: { quantile: 0.9999, smooth: 2, k: 2, n: 3 },
  chunkBytes: 96,
  heartbeatMs: 100,
});

export async function makeVersion(
  number: number,
  options: { readonly channels?: number; readonly prepared?: PreparedChannels } = {},
): Promise<Version> {
  const width = options.channels ?? channels;
  const topology = JSON.stringify(await blueprintFor(task.detector, width));
  const detector = await openDetector({
    spec: task.detector,
    topology,
    channels: width,
    seed: number,
    statistics: null,
  });
  const frame = encodeFrame<VersionHeader>(
    {
      kind: "version",
      layout: [...detector.layout] as VersionHeader["layout"],
      topology,
      statistics: null,
      ...(options.prepared && { prepared: options.prepared }),
    },
    detector.weights(),
  );
  detector.dispose();
  const transfer = describe(frame, task.chunkBytes);
  const manifest: VersionManifest = {
    kind: "version",
    task: task.id,
    number,
    base: null,
    round: number - 1,
    createdMs: 0,
    transfer,
  };
  return { manifest, frame, sha256: transfer.sha256 };
}

export async function startScripted(keys: SigningKeys = makeSigningKeys()): Promise<ScriptedCoordinator> {
  const broker = await Aedes.createBroker();
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    broker.handle(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const versions = new Map<string, Version>();
  const transfers = new Map<string, Assembly>();
  /** One publish after the other: where they overlap, Aedes drops the one that is overtaken as a duplicate. */
  let sent: Promise<void> = Promise.resolve();

  const coordinator: ScriptedCoordinator = {
    join: { url: `mqtt://127.0.0.1:${port}`, device, token, publicKey: keys.publicKey },
    states: [],
    beats: [],
    alerts: [],
    requests: [],
    chunks: [],
    updates: [],
    logins: { refuse: false, tried: 0 },
    manners: {
      ...{ pulls: true, alerts: true, transfers: true },
      spoil: (_, data) => data,
      take: () => true,
      state: async () => {},
    },
    of: (kind) => coordinator.requests.filter((request) => request.kind === kind) as never,
    send: (kind, message) => coordinator.sendRaw(kind, encode(message, { maxBytes: limits.publishBytes })),
    sendRaw(kind, payload) {
      const packet = {
        cmd: "publish" as const,
        topic: topics.down(device, kind),
        payload: Buffer.from(payload),
        qos: 1 as const,
        retain: kind === "want",
        dup: false,
      };
      const publish = () =>
        new Promise<void>((resolve, reject) => {
          broker.publish(packet, (error) => (error ? reject(error) : resolve()));
        });
      const done = sent.then(publish);
      sent = done.catch(() => {}); // who sent it is told
      return done;
    },
    want(version, { phase = "training", signed, alarm = {}, task: change = {} } = {}) {
      if (version !== null) versions.set(version.sha256, version);
      const key = readPrivateKey(keys.privateKey);
      const manifest = signed ?? (version === null ? null : signManifest(version.manifest, key));
      return coordinator.send("want", {
        kind: "want",
        device,
        task: { ...task, ...change, alarm: { ...task.alarm, ...alarm } },
        version: manifest,
        phase,
      } satisfies Want);
    },
    async invite(version, options = {}) {
      const invite: Invite = {
        kind: "invite",
        task: task.id,
        round: 1,
        nonce: "a".repeat(32),
        base: version.sha256,
        deadlineMs: 20_000,
        training: TrainingSpec.parse(task.training),
        seed: 7,
        ...options,
      };
      await coordinator.send("cmd", invite);
      return invite;
    },
    cut() {
      for (const socket of sockets) socket.destroy();
    },
    async close() {
      coordinator.cut();
      await new Promise<void>((resolve) => broker.close(() => resolve()));
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };

  const servePull = async ({ sha256, indexes }: Pull) => {
    const version = versions.get(sha256);
    if (version === undefined) return;
    for (const index of indexes) {
      const data = coordinator.manners.spoil(index, slice(version.frame, task.chunkBytes, index).slice());
      await coordinator.send("chunk", { sha256, index, data });
    }
  };
  const ackTransfer = (xfer: string, state: "open" | "stored", have: Uint8Array) =>
    coordinator.send("ack", { kind: "transfer", xfer, state, have });
  const takeOffer = async ({ xfer, manifest }: Offer) => {
    const known = transfers.get(xfer) ?? assemble(manifest);
    transfers.set(xfer, known);
    await ackTransfer(xfer, known.complete() ? "stored" : "open", known.have);
  };
  const takeChunk = async (xfer: string, { index, data }: Chunk) => {
    coordinator.chunks.push(index);
    if (!coordinator.manners.take(index)) return;
    const transfer = transfers.get(xfer);
    if (transfer === undefined || transfer.complete()) return;
    transfer.add(index, data);
    if (!transfer.complete()) return;
    coordinator.updates.push(transfer.bytes());
    await ackTransfer(xfer, "stored", transfer.have);
  };
  const take = async (topic: string, payload: Uint8Array) => {
    const parsed = parseTopic(topic);
    if (parsed?.direction !== "up") return;
    const { manners } = coordinator;
    switch (parsed.kind) {
      case "state":
        coordinator.states.push(decode(StateMessage, payload));
        return;
      case "hb":
        coordinator.beats.push(decode(Heartbeat, payload));
        return;
      case "event": {
        const alert = decode(Alert, payload);
        coordinator.alerts.push(alert);
        if (manners.alerts) await coordinator.send("ack", { kind: "alerts", ids: [alert.id] });
        return;
      }
      case "req": {
        const request = decode(Request, payload);
        coordinator.requests.push(request);
        if (request.kind === "pull" && manners.pulls) await servePull(request);
        if (request.kind === "offer" && manners.transfers) await takeOffer(request);
        return;
      }
      case "upd":
        return takeChunk(parsed.xfer, decode(Chunk, payload, { maxBytes: limits.publishBytes }));
    }
  };
  broker.authenticate = (client, username, password, done) => {
    coordinator.logins.tried += 1;
    const known = client.id === device && username === device && String(password) === token;
    const refusal = Object.assign(new Error("no"), { returnCode: 5 });
    if (known && !coordinator.logins.refuse) done(null, true);
    else done(refusal as never, false);
  };
  broker.authorizePublish = (_, packet, done) => {
    const first = packet.topic.endsWith("/up/state") ? coordinator.manners.state() : Promise.resolve();
    first.then(
      () => done(null),
      (error: Error) => done(error),
    );
  };
  broker.on("publish", (packet, client) => {
    // Also a last will, which comes without a client.
    if (packet.topic.startsWith("$") || (client === null && !packet.topic.endsWith("/up/state"))) return;
    take(packet.topic, new Uint8Array(packet.payload as Buffer)).catch((error) => {
      throw error;
    });
  });
  return coordinator;
}

/** The first of `list` that the test is looking for, once it is there. */
export function find<T>(list: readonly T[], test: (item: T) => boolean, what: string): Promise<T> {
  return until(() => list.find(test), what);
}
