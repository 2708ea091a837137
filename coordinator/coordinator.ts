import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { AlertView, LiveEvent } from "../protocol/api.ts";
import { decode, encode } from "../protocol/codec.ts";
import { FleetError } from "../protocol/errors.ts";
import { everyAddress, type Join } from "../protocol/join.ts";
import { limits } from "../protocol/limits.ts";
import { readPrivateKey } from "../protocol/manifest.ts";
import { Alert, type AlertAck, Chunk, Heartbeat, Request, StateMessage } from "../protocol/messages.ts";
import type { TaskSpec } from "../protocol/task.ts";
import { topics } from "../protocol/topics.ts";
import { type Conductor, openConductor } from "./conductor.ts";
import { enroll, findCredential, isToken, listEnrolled, loadKeys } from "./credentials.ts";
import { openAedesIngest } from "./embedded/aedes-ingest.ts";
import { openDiskBlobs } from "./embedded/disk-blobs.ts";
import { openSqliteJournal } from "./embedded/sqlite-journal.ts";
import { openSqliteLeases } from "./embedded/sqlite-lease.ts";
import { createFleet } from "./fleet.ts";
import { openHttp } from "./http/server.ts";
import { openIncoming } from "./incoming.ts";
import type { Ingest, IngestHandler, UpMessage } from "./ingest.ts";
import type { Entry, Journal } from "./journal.ts";
import type { Log } from "./log.ts";
import { openRegistry } from "./registry.ts";
import type { View } from "./view.ts";

export interface CoordinatorOptions {
  /** Everything that must survive lies here. One coordinator at a time. */
  readonly stateDir: string;
  readonly host: string;
  /** 0 takes a free port. */
  readonly mqttPort: number;
  readonly httpPort: number;
  readonly task: TaskSpec;
  readonly log: Log;
  readonly now?: () => number;
  readonly random?: () => number;
  /** Told after every durable step, by name. Tests end the process here. */
  readonly checkpoint?: (name: string) => Promise<void>;
}

export interface Coordinator {
  readonly mqttUrl: string;
  readonly httpUrl: string;
  readonly view: View;
  enroll(device: string): Promise<Join>;
  /** Bytes through the broker's sockets since the start. */
  traffic(): ReturnType<Ingest["traffic"]>;
  /** Resolves with the reason when the coordinator can't go on; it is then to be closed and started again. */
  readonly failed: Promise<Error>;
  close(): Promise<void>;
}

/** Deadlines are looked at so often. */
const tickMs = 200;
const alertStream = "alerts";

/** Throws LOCKED where another coordinator holds the state folder, BAD_INPUT for a task that does not fit what is stored there. */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  /** What was opened so far, to be closed again where the start fails. */
  const opened: (() => Promise<void>)[] = [];
  try {
    return await assemble(options, (close) => opened.push(close));
  } catch (error) {
    for (const close of opened.reverse()) await close();
    throw error;
  }
}

async function assemble(
  options: CoordinatorOptions,
  onOpen: (close: () => Promise<void>) => void,
): Promise<Coordinator> {
  const { stateDir, task, log, now = Date.now, random = Math.random } = options;
  await makeStateDir(stateDir);
  const lease = await openSqliteLeases({ folder: stateDir }).acquire("coordinator");
  onOpen(lease.release);
  const journal = await openSqliteJournal({ path: journalPath(stateDir), now });
  onOpen(journal.close);
  const blobs = await openDiskBlobs({ folder: join(stateDir, "blobs") });
  const keys = await loadKeys(journal);
  const registry = await openRegistry({
    journal,
    blobs,
    task: task.id,
    chunkBytes: task.chunkBytes,
    key: readPrivateKey(keys.privateKey),
    now,
  });
  const fleet = createFleet();
  for (const { device, enrolledMs } of await listEnrolled(journal)) {
    fleet.add(device, { enrolledMs, alerts: await journal.count(alertStream, device) });
  }

  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<Error>((resolve) => {
    fail = resolve;
  });
  /** Our own fault, such as a full disk: what is in memory may be ahead of the journal, so only a new start is safe. */
  const fatal = (error: unknown): never => {
    log.error({ err: error }, "the coordinator can't go on");
    fail(error instanceof Error ? error : new Error(String(error)));
    throw error;
  };
  lease.lost.addEventListener("abort", () =>
    fail(new FleetError("LOCKED", "the lease on the state folder was lost")),
  );

  const listeners = new Set<(event: LiveEvent) => void>();
  const notify = (event: LiveEvent) => {
    for (const listener of listeners) listener(event);
  };
  const deviceChanged = (device: string) => {
    const view = fleet.view(device);
    if (view !== undefined) notify({ name: "device", view });
  };

  // The broker needs the conductor to hand messages to, the conductor the broker to answer through.
  let ingest: Ingest | undefined;
  const send = (topic: string, payload: Uint8Array, { retain }: { readonly retain: boolean }) => {
    ingest
      ?.publish(topic, payload, { retain })
      .catch((error: unknown) => log.warn({ err: error, topic }, "publish failed"));
  };
  const conductor: Conductor = await openConductor({
    task,
    journal,
    blobs,
    registry,
    fleet,
    incoming: openIncoming(join(stateDir, "incoming")),
    send,
    log,
    now,
    random,
    onChange: (change) => {
      if (change.kind === "device") return deviceChanged(change.device);
      if (change.kind === "task") return notify({ name: "task", view: conductor.task() });
      const newest =
        change.kind === "round" ? conductor.rounds({ limit: 1 }) : conductor.versions({ limit: 1 });
      newest
        .then(([view]) => {
          if (view !== undefined) notify({ name: change.kind, view } as LiveEvent);
        })
        .catch((error: unknown) => log.warn({ err: error }, "the live feed missed a change"));
    },
    ...(options.checkpoint === undefined ? {} : { checkpoint: options.checkpoint }),
  });

  await conductor.resume();

  const handler: IngestHandler = {
    async authenticate(device, token) {
      if (!(await isToken(journal, device, token))) return false;
      if (!fleet.has(device)) {
        const { enrolledMs } = (await findCredential(journal, device))!;
        fleet.add(device, { enrolledMs, alerts: await journal.count(alertStream, device) });
      }
      return true;
    },
    async receive(message) {
      try {
        await take(message);
      } catch (error) {
        if (error instanceof FleetError) throw error; // the broker drops the message and calls `refused`
        return fatal(error);
      }
    },
    refused(device, error) {
      const code = error instanceof FleetError ? error.code : "INTERNAL";
      if (device !== undefined) {
        fleet.refused(device, code);
        deviceChanged(device);
      }
      log.warn({ device, code }, `refused: ${error.message}`);
    },
    connected: (device) => log.debug({ device }, "connected"),
    disconnected: (device) => log.debug({ device }, "disconnected"),
  };

  const take = async ({ device, topic, payload }: UpMessage): Promise<void> => {
    switch (topic.kind) {
      case "state":
        return takeState(device, decode(StateMessage, payload));
      case "hb":
        if (fleet.beat(device, decode(Heartbeat, payload), now())) driftChanged(device);
        return deviceChanged(device);
      case "event":
        return takeAlert(device, decode(Alert, payload));
      case "req":
        return conductor.request(device, decode(Request, payload));
      case "upd":
        return conductor.chunk(device, topic.xfer, decode(Chunk, payload, { maxBytes: limits.publishBytes }));
    }
  };

  const driftChanged = (device: string): void => {
    const { state, index } = fleet.view(device)?.heartbeat?.drift ?? { state: "stable", index: 0 };
    if (state === "retrain-due")
      log.warn({ device, index }, "the device's scores say that retraining is due");
    else log.info({ device, drift: state, index }, "the device's scores drift, or no longer do");
    notify({ name: "task", view: conductor.task() });
  };

  const takeState = async (device: string, state: StateMessage): Promise<void> => {
    if (state.kind === "death") {
      if (fleet.died(device, state, now())) log.info({ device, reason: state.reason }, "device offline");
    } else {
      fleet.born(device, state, now());
      log.info({ device, bootSeq: state.bootSeq, running: state.running?.number ?? null }, "device online");
      await conductor.born(device);
    }
    deviceChanged(device);
  };

  const takeAlert = async (device: string, alert: Alert): Promise<void> => {
    const { kind: _, ...value } = alert;
    const key = `${device}/${alert.id}`;
    const outcome = await journal.write([
      { kind: "append", stream: alertStream, key, label: device, value: { device, ...value } },
    ]);
    const ack: AlertAck = { kind: "alerts", ids: [alert.id] };
    send(topics.down(device, "ack"), encode(ack), { retain: false });
    if (outcome === "duplicate") return;
    fleet.alerted(device);
    const entry = await journal.find(alertStream, key);
    if (entry !== undefined) notify({ name: "alert", view: viewAlert(entry) });
    deviceChanged(device);
  };

  let readiness: string | undefined = "starting";
  const view: View = {
    task: conductor.task,
    fleet: fleet.views,
    device: fleet.view,
    rounds: conductor.rounds,
    round: conductor.round,
    versions: conductor.versions,
    async alerts({ limit, before, device }) {
      const where = {
        ...(device === undefined ? {} : { label: device }),
        ...(before === undefined ? {} : { beforeSeq: before }),
      };
      return (await journal.read(alertStream, { ...where, newestFirst: true, limit })).map(viewAlert);
    },
    ready: () => ({ ready: readiness === undefined, reason: readiness }),
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };

  ingest = await openAedesIngest({ host: options.host, port: options.mqttPort, handler, log });
  onOpen(ingest.close);
  const http = await openHttp({ host: options.host, port: options.httpPort, view, log });
  onOpen(http.close);
  await journal.write([{ kind: "put", cell: endpointCell, value: { mqttUrl: ingest.url } }]);
  readiness = undefined;
  failed.then((error) => {
    readiness = error.message;
  });

  let ticking: Promise<void> | undefined;
  const timer = setInterval(() => {
    ticking ??= conductor
      .tick()
      .catch((error: unknown) => {
        log.error({ err: error }, "the coordinator can't go on");
        fail(error as Error);
      })
      .finally(() => {
        ticking = undefined;
      });
  }, tickMs);

  const broker = ingest;
  return {
    mqttUrl: broker.url,
    httpUrl: http.url,
    view,
    enroll: async (device) => {
      const token = await enroll(journal, device, now());
      fleet.add(device, { enrolledMs: now(), alerts: await journal.count(alertStream, device) });
      return { url: broker.url, device, token, publicKey: keys.publicKey };
    },
    traffic: () => broker.traffic(),
    failed,
    async close() {
      readiness = "closing";
      clearInterval(timer);
      await ticking;
      await http.close();
      await broker.close();
      await conductor.close();
      await journal.close();
      await lease.release();
    },
  };
}

const endpointCell = "endpoints";
const Endpoints = z.object({ mqttUrl: z.string() });

export interface EnrollOptions {
  readonly stateDir: string;
  readonly device: string;
  /** What the device connects to; without it, where the coordinator of this folder listened last, if that was one address. */
  readonly url?: string;
  readonly now?: () => number;
}

/** Enrolls a device from outside the coordinator's process, whether it runs or not. Throws BAD_INPUT. */
export async function enrollDevice({ stateDir, device, url, now = Date.now }: EnrollOptions): Promise<Join> {
  if (url === undefined && !existsSync(journalPath(stateDir))) throw notStarted(stateDir);
  await makeStateDir(stateDir);
  const journal: Journal = await openSqliteJournal({ path: journalPath(stateDir), now });
  try {
    const known = await journal.get(endpointCell);
    const target = url ?? (known === undefined ? undefined : Endpoints.parse(known.value).mqttUrl);
    if (target === undefined) throw notStarted(stateDir);
    if (url === undefined && everyAddress.test(target)) {
      throw new FleetError(
        "BAD_INPUT",
        `the coordinator listens on every address of its machine (${target}): say with --url which one the device is to use, such as ${target.replace(everyAddress, "//192.0.2.10:")}`,
      );
    }
    const { publicKey } = await loadKeys(journal);
    return { url: target, device, token: await enroll(journal, device, now()), publicKey };
  } finally {
    await journal.close();
  }
}

function notStarted(stateDir: string): FleetError {
  return new FleetError(
    "BAD_INPUT",
    `no coordinator has run on ${stateDir} yet: check --state, start the coordinator first, or say where it will listen with --url`,
  );
}

/** For its owner alone: the key that signs versions lies there. */
async function makeStateDir(stateDir: string): Promise<void> {
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
}

function journalPath(stateDir: string): string {
  return join(stateDir, "journal.db");
}

function viewAlert({ value, atMs, seq }: Entry): AlertView {
  return { ...(value as Omit<AlertView, "receivedMs" | "seq">), receivedMs: atMs, seq };
}
