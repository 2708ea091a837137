import { connect, type IPublishPacket, type MqttClient } from "mqtt";
import { decode, encode } from "../protocol/codec.ts";
import { asFleetError, FleetError } from "../protocol/errors.ts";
import type { Join } from "../protocol/join.ts";
import { limits } from "../protocol/limits.ts";
import { Ack, type Birth, Command, type Death, ModelChunk, Want } from "../protocol/messages.ts";
import { parseTopic, topics } from "../protocol/topics.ts";
import { backoffMs } from "./backoff.ts";
import type { Clock } from "./clock.ts";
import type { Log } from "./log.ts";

/** The way to the coordinator: one connection after the other, each with its birth and its last will. */
export interface Link {
  /** The broker has our birth: what is published now arrives. */
  readonly online: boolean;
  /** Messages from the coordinator that were refused. */
  readonly badMessages: number;
  /** Resolves at the PUBACK (QoS 1) or when written (QoS 0). Rejects TIMEOUT when the connection is away or goes away. */
  publish(topic: string, payload: Uint8Array, qos?: 0 | 1): Promise<void>;
  /** Says good-bye and disconnects, within `farewellMs`. */
  close(): Promise<void>;
}

export interface Inbox {
  want(want: Want, payload: Uint8Array): void;
  ack(ack: Ack): void;
  chunk(chunk: ModelChunk): void;
  command(command: Command): void;
  /** A new connection is up and the birth is out. */
  online(): void;
}

export interface LinkOptions {
  readonly join: Join;
  readonly keepaliveS: number;
  readonly bootSeq: number;
  readonly birth: () => Birth;
  readonly inbox: Inbox;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  readonly reconnect?: { readonly firstMs: number; readonly maxMs: number };
  /** Wait after a refused login: nothing on this device will change it soon. */
  readonly refused?: { readonly firstMs: number; readonly maxMs: number };
}

const defaultReconnect = { firstMs: 250, maxMs: 10_000 };
const defaultRefused = { firstMs: 30_000, maxMs: 300_000 };
const connectTimeoutMs = 10_000;
/** A publish without PUBACK for so long means a dead connection, even if it still answers pings. */
const pubackMs = 120_000;
const farewellMs = 2_000;

export function openLink(options: LinkOptions): Link {
  const {
    join,
    bootSeq,
    clock,
    log,
    random,
    reconnect = defaultReconnect,
    refused = defaultRefused,
  } = options;
  const stop = new AbortController();
  let connection: Connection | undefined;
  let online = false;
  let badMessages = 0;

  const receive = (topic: string, payload: Uint8Array) => {
    try {
      dispatch(options.inbox, join.device, topic, payload);
    } catch (error) {
      badMessages += 1;
      const { code, message } = asFleetError(error, "BAD_MESSAGE");
      log.warn({ topic, bytes: payload.length, code, badMessages }, `a message was refused: ${message}`);
    }
  };

  const session = async (): Promise<Ending> => {
    let born = false;
    const opened = openConnection({ ...options, death: deathOf(bootSeq, "lost"), receive });
    connection = opened;
    const abort = () => opened.drop();
    stop.signal.addEventListener("abort", abort);
    try {
      await opened.connected;
      // Subscribed before born: the coordinator answers a birth at once.
      await opened.subscribe(topics.inbox(join.device));
      const said = opened.publish(topics.up(join.device, "state"), encode(options.birth()), {
        qos: 1,
        retain: true,
      });
      // What follows the birth on its connection comes after it: an answer to what the coordinator asks at a birth need not wait for the broker's word.
      online = true;
      await said;
      born = true;
      log.info({ url: join.url }, "connected to the coordinator");
      options.inbox.online();
    } catch {
      opened.drop(); // `ended` says why
    }
    const reason = await opened.ended;
    stop.signal.removeEventListener("abort", abort);
    online = false;
    connection = undefined;
    return { ...reason, born };
  };

  const run = async () => {
    let tries = 0;
    while (!stop.signal.aborted) {
      const { kind, message, born } = await session();
      if (stop.signal.aborted) return;
      tries = born ? 0 : tries + 1;
      const waitMs = backoffMs(kind === "refused" ? refused : reconnect, Math.max(0, tries - 1), random);
      const fields = { url: join.url, tries, waitMs: Math.round(waitMs) };
      if (kind === "refused") {
        log.error(
          { ...fields, code: "FORBIDDEN" },
          `the coordinator refuses this device's login (${message}): enroll it again with \`starling enroll\``,
        );
      } else log.warn(fields, born ? `the connection is lost (${message})` : `no connection (${message})`);
      await clock.sleep(waitMs, stop.signal);
    }
  };
  const running = run();

  return {
    get online() {
      return online;
    },
    get badMessages() {
      return badMessages;
    },
    publish(topic, payload, qos = 1) {
      if (connection === undefined || !online)
        return Promise.reject(new FleetError("TIMEOUT", "the coordinator is away; it will be sent later"));
      return connection.publish(topic, payload, { qos, retain: false });
    },
    async close() {
      if (connection !== undefined && online) {
        const death = encode(deathOf(bootSeq, "shutdown"));
        const said = connection
          .publish(topics.up(join.device, "state"), death, { qos: 1, retain: true })
          .then(() => connection?.leave())
          .catch((error: Error) => log.debug({ error: error.message }, "the farewell was not heard"));
        await Promise.race([said, clock.sleep(farewellMs, stop.signal)]);
      }
      stop.abort();
      await running;
    },
  };
}

function deathOf(bootSeq: number, reason: Death["reason"]): Death {
  return { kind: "death", bootSeq, reason };
}

function dispatch(inbox: Inbox, device: string, topic: string, payload: Uint8Array): void {
  const parsed = parseTopic(topic);
  if (parsed?.direction !== "down" || parsed.device !== device)
    throw new FleetError("BAD_MESSAGE", "it is on a topic that is not this device's");
  switch (parsed.kind) {
    case "want": {
      const want = decode(Want, payload);
      if (want.device !== device)
        throw new FleetError("BAD_MESSAGE", `it is the desired state of ${want.device}`);
      inbox.want(want, payload);
      return;
    }
    case "ack":
      inbox.ack(decode(Ack, payload));
      return;
    case "chunk":
      inbox.chunk(decode(ModelChunk, payload, { maxBytes: limits.publishBytes }));
      return;
    case "cmd":
      inbox.command(decode(Command, payload));
  }
}

// ---- one connection ----

interface Ending {
  readonly kind: "refused" | "lost";
  readonly message: string;
  readonly born: boolean;
}

interface Connection {
  /** Rejects when the connection ends before it began. */
  readonly connected: Promise<void>;
  /** Never rejects. */
  readonly ended: Promise<Omit<Ending, "born">>;
  subscribe(filter: string): Promise<void>;
  publish(topic: string, payload: Uint8Array, how: { qos: 0 | 1; retain: boolean }): Promise<void>;
  /** A proper MQTT disconnect: the broker forgets the last will. */
  leave(): Promise<void>;
  drop(): void;
}

interface ConnectionOptions {
  readonly join: Join;
  readonly keepaliveS: number;
  readonly death: Death;
  readonly receive: (topic: string, payload: Uint8Array) => void;
}

/** mqtt.js without its own reconnecting and queueing: what is not acknowledged when a connection ends is the caller's to send again. */
function openConnection({ join, keepaliveS, death, receive }: ConnectionOptions): Connection {
  const client: MqttClient = connect(join.url, {
    clientId: join.device,
    username: join.device,
    password: join.token,
    protocolVersion: 4,
    clean: true,
    keepalive: keepaliveS,
    reconnectPeriod: 0,
    connectTimeout: connectTimeoutMs,
    resubscribe: false,
    queueQoSZero: false,
    // A cache of 65,536 small buffers, 8 MB, for the lengths and ids of packets.
    writeCache: false,
    will: {
      topic: topics.up(join.device, "state"),
      payload: Buffer.from(encode(death)),
      qos: 1,
      retain: true,
    },
  });
  /** Rejects what is under way when the connection ends. */
  const pending = new Set<(error: Error) => void>();
  let over: { readonly kind: "refused" | "lost"; readonly message: string } | undefined;
  let reason: Error | undefined;

  const operation = (start: (done: (error?: Error | null) => void) => void): Promise<void> =>
    new Promise((resolve, reject) => {
      if (over !== undefined) return reject(lost(over.message));
      const settle = (error?: Error | null) => {
        clearTimeout(timer);
        pending.delete(settle);
        if (error) reject(asFleetError(error, "TIMEOUT"));
        else resolve();
      };
      const timer = setTimeout(() => {
        settle(lost("no answer from the broker"));
        client.end(true);
      }, pubackMs);
      pending.add(settle);
      start(settle);
    });

  const ended = new Promise<Omit<Ending, "born">>((resolve) => {
    const end = () => {
      if (over !== undefined) return;
      over = { kind: isRefusal(reason) ? "refused" : "lost", message: reason?.message || "closed" };
      for (const settle of [...pending]) settle(lost(over.message));
      client.end(true);
      resolve(over);
    };
    client.on("error", (error) => {
      reason ??= error;
    });
    client.on("close", end);
    client.on("end", end);
  });
  const connected = operation((done) => client.once("connect", () => done()));
  client.on("message", (topic: string, payload: Buffer, _packet: IPublishPacket) => receive(topic, payload));

  return {
    connected,
    ended,
    subscribe: (filter) =>
      operation((done) => {
        client.subscribe(filter, { qos: 1 }, (error, granted) => {
          const denied = granted?.some(({ qos }) => qos > 2);
          done(error ?? (denied ? new FleetError("FORBIDDEN", `subscribing to ${filter} is denied`) : null));
        });
      }),
    publish: (topic, payload, how) =>
      operation((done) => {
        // A view of the same bytes: Buffer.from(Uint8Array) would copy every chunk.
        const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
        client.publish(topic, bytes, how, (error) => done(error));
      }),
    leave: () => operation((done) => client.end(false, {}, () => done())),
    drop: () => {
      client.end(true);
    },
  };
}

function lost(message: string): FleetError {
  return new FleetError("TIMEOUT", `the connection to the coordinator is lost: ${message}`);
}

/** CONNACK return codes 2 (id rejected), 4 (bad user name or password), 5 (not authorized): MQTT 3.1.1, table 3.1. */
const refusals: ReadonlySet<unknown> = new Set([2, 4, 5]);

function isRefusal(error: Error | undefined): boolean {
  return refusals.has((error as { code?: unknown } | undefined)?.code);
}
