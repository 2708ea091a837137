import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { setImmediate, setTimeout } from "node:timers/promises";
import { Aedes, type AuthenticateError, type Client, type PublishPacket } from "aedes";
import { FleetError } from "../../protocol/errors.ts";
import { idPattern } from "../../protocol/ids.ts";
import { limits } from "../../protocol/limits.ts";
import { mayPublish, maySubscribe, parseTopic } from "../../protocol/topics.ts";
import type { Ingest, IngestHandler } from "../ingest.ts";
import { Guard, type GuardOptions, guardDefaults } from "./guard.ts";
import { openLanes } from "./lanes.ts";

export interface AedesIngestOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly handler: IngestHandler;
  readonly log: IngestLog;
  readonly guard?: Partial<GuardOptions>;
  /** Sockets that have not been accepted yet. One more ends the oldest that has not even sent its CONNECT. */
  readonly maxStrangers?: number;
}

export interface IngestLog {
  debug(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Messages of one device that wait for `receive`: past this its socket is not read, past twice this it is closed. */
const maxWaitingBytes = 512 * 1024;
/** What a waiting message costs besides its payload, bytes, roughly. */
const messageOverhead = 1024;
const maxStrangersDefault = 512;
/** What `close` gives to messages that are being stored. */
const closeMs = 2_000;

// CONNACK return codes, MQTT 3.1.1, 3.2.2.3.
const serverUnavailable = 3;
const notAuthorized = 5;

/**
 * The embedded broker. `receive` runs inside Aedes' authorizePublish, which comes before the PUBACK: what is acknowledged was stored.
 *
 * Throws BAD_INPUT where the port is taken or the host is not ours.
 */
export async function openAedesIngest(options: AedesIngestOptions): Promise<Ingest> {
  const ingest = new AedesIngest(options);
  await ingest.open();
  return ingest;
}

/** A connection, from its socket to its end. */
interface Link {
  readonly guard: Guard;
  /** Known once the CONNECT's token was found to be the device's. */
  device: string | undefined;
  /** One of its messages could not be stored, so that none behind it may be either. */
  failed: boolean;
}

class AedesIngest implements Ingest {
  readonly #options: AedesIngestOptions;
  readonly #handler: IngestHandler;
  readonly #log: IngestLog;
  readonly #broker: Aedes;
  readonly #server: Server;
  readonly #links = new Map<Guard, Link>();
  readonly #strangers = new Set<Guard>();
  /** The client that speaks for each device now. */
  readonly #present = new Map<string, Client>();
  readonly #up = openLanes();
  readonly #down = openLanes();
  readonly #traffic = { receivedBytes: 0, sentBytes: 0 };
  /** Errors of ours that ended a connection. */
  readonly #faults = new WeakSet<Error>();
  #closing = false;

  constructor(options: AedesIngestOptions) {
    this.#options = options;
    this.#handler = options.handler;
    this.#log = options.log;
    this.#server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }, (socket) =>
      this.#welcome(socket),
    );
    this.#broker = new Aedes({
      // Deliveries are bounded by the guard's outbox; a common bound would let one slow device hold up all.
      concurrency: 0,
      connectTimeout: { ...guardDefaults, ...options.guard }.connectMs,
      preConnect: (_client, packet, done) => {
        // Nothing is ever kept for an absent device: a persistent session becomes a clean one, and says so in CONNACK.
        packet.clean = true;
        if (packet.will !== undefined) packet.will.qos = 1;
        done(null, true);
      },
      authenticate: (client, username, password, done) => {
        void this.#authenticate(client, username, password).then(
          (accepted) =>
            accepted ? done(null, true) : done(connectError(notAuthorized, "not authorized"), null),
          (error: unknown) => {
            this.#log.error({ err: error }, "a device could not be authenticated");
            done(connectError(serverUnavailable, "server unavailable"), null);
          },
        );
      },
      authorizePublish: (client, packet, done) => {
        if (client === null) return done(new Error("a publish without a connection"));
        void this.#receive(client, packet).then(
          () => done(null),
          (thrown: unknown) => {
            const error = thrown instanceof Error ? thrown : new Error(String(thrown));
            this.#faults.add(error);
            done(error);
          },
        );
      },
      authorizeSubscribe: (client, subscription, done) => {
        const device = this.#linkOf(client)?.device;
        if (device !== undefined && maySubscribe(device, subscription.topic)) return done(null, subscription);
        this.#handler.refused(
          device,
          new FleetError("FORBIDDEN", `a device may not subscribe to ${quote(subscription.topic)}`),
        );
        // 0x80 in SUBACK.
        done(null, null);
      },
    });
  }

  get url(): string {
    const { address, family, port } = this.#server.address() as AddressInfo;
    return `mqtt://${family === "IPv6" ? `[${address}]` : address}:${port}`;
  }

  async open(): Promise<void> {
    const { host, port } = this.#options;
    await this.#broker.listen();
    this.#broker.on("client", (client) => this.#arrived(client));
    this.#broker.on("clientReady", (client) => {
      this.#strangers.delete(client.conn as Guard);
      (client.conn as Guard).accept();
    });
    this.#broker.on("clientDisconnect", (client) => this.#left(client));
    this.#broker.on("clientError", (client, error) => this.#failed(client, error));
    this.#broker.on("connectionError", (client, error) => this.#failed(client, error));
    (this.#broker as NodeJS.EventEmitter).on("error", (error: Error) =>
      this.#log.error({ err: error }, "the broker reports an error"),
    );
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once("error", reject);
        this.#server.listen(port, host, () => {
          this.#server.off("error", reject);
          resolve();
        });
      });
    } catch (cause) {
      await new Promise<void>((resolve) => this.#broker.close(resolve));
      throw new FleetError(
        "BAD_INPUT",
        `the broker can't listen on ${host}:${port} (${(cause as NodeJS.ErrnoException).code}): choose another address or port`,
        { cause },
      );
    }
    this.#server.on("error", (error) =>
      this.#log.error({ err: error }, "the broker's listener reports an error"),
    );
  }

  async publish(topic: string, payload: Uint8Array, { retain }: { readonly retain: boolean }): Promise<void> {
    if (this.#closing) throw new Error("the broker is closed");
    const bytes = topic.length + payload.length;
    if (bytes > limits.publishBytes)
      throw new FleetError("TOO_LARGE", `a publish of ${bytes} bytes is over ${limits.publishBytes}`);
    // One after another for each device: a retained publish takes the broker longer, and a message that overtakes another makes Aedes
    // drop the one behind as a duplicate.
    await this.#down.run(parseTopic(topic)?.device ?? "", bytes, () => {
      return new Promise<void>((resolve, reject) => {
        this.#broker.publish(
          { cmd: "publish", topic, payload: Buffer.from(payload), qos: 1, retain, dup: false },
          (error) => (error ? reject(error) : resolve()),
        );
      });
    });
  }

  traffic(): { readonly receivedBytes: number; readonly sentBytes: number } {
    return { ...this.#traffic };
  }

  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const guard of this.#links.keys()) guard.stall(true);
    // What is being stored is stored and acknowledged; what waits behind it is not taken, and its device sends it again.
    const late = new AbortController();
    await Promise.race([
      this.#up.idle(),
      setTimeout(closeMs, undefined, { signal: late.signal, ref: false }).catch(() => undefined),
    ]);
    late.abort();
    await setImmediate();
    for (const guard of this.#links.keys()) guard.destroy();
    await new Promise<void>((resolve) => this.#broker.close(resolve));
    await closed;
  }

  // ---- connections ----

  #welcome(socket: Socket): void {
    const guard: Guard = new Guard(
      socket,
      { traffic: this.#traffic, onRefused: (error) => this.#handler.refused(link.device, error) },
      { ...guardDefaults, ...this.#options.guard },
    );
    const link: Link = { guard, device: undefined, failed: false };
    this.#links.set(guard, link);
    this.#strangers.add(guard);
    guard.once("close", () => {
      this.#links.delete(guard);
      this.#strangers.delete(guard);
    });
    this.#broker.handle(guard);
    if (this.#strangers.size > (this.#options.maxStrangers ?? maxStrangersDefault)) {
      const silent = [...this.#strangers].find((stranger) => !stranger.introduced) ?? guard;
      this.#strangers.delete(silent);
      silent.refuse(new FleetError("UNAVAILABLE", "too many connections wait to be accepted"));
    }
  }

  #linkOf(client: Client): Link | undefined {
    return this.#links.get(client.conn as Guard);
  }

  async #authenticate(
    client: Client,
    username: string | undefined,
    password: Buffer | undefined,
  ): Promise<boolean> {
    const link = this.#linkOf(client);
    if (link === undefined || this.#closing) return false;
    const device = client.id;
    if (username !== device || !idPattern.test(device)) {
      this.#turnAway("its client id and user name are not the same device id", undefined);
      return false;
    }
    if (password === undefined || !(await this.#handler.authenticate(device, password.toString("utf8")))) {
      this.#turnAway("its token is not the device's", device);
      return false;
    }
    link.device = device;
    return true;
  }

  /** `claimed` is only said, never counted as the device's: it may be anybody. */
  #turnAway(reason: string, claimed: string | undefined): void {
    const who = claimed === undefined ? "a connection" : `a connection as ${claimed}`;
    this.#handler.refused(undefined, new FleetError("FORBIDDEN", `${who} was refused: ${reason}`));
  }

  #arrived(client: Client): void {
    const device = client.id;
    const before = this.#present.get(device);
    this.#present.set(device, client);
    if (before !== undefined && before !== client) {
      // Aedes has closed it, unless it was closing already when its successor came.
      before.conn.destroy();
      this.#handler.disconnected(device);
    }
    this.#handler.connected(device);
  }

  #left(client: Client): void {
    if (this.#present.get(client.id) !== client) return;
    this.#present.delete(client.id);
    this.#handler.disconnected(client.id);
  }

  /** An error of a connection: what the guard or `authenticate` refused is counted already, and a lost line is no refusal. */
  #failed(client: Client, error: Error): void {
    const device = this.#linkOf(client)?.device;
    this.#log.debug({ device, err: error }, "connection ended by an error");
    const counted = error instanceof FleetError || "returnCode" in error || this.#faults.has(error);
    const line = "code" in error || /keep alive timeout|drain timeout|connection closed/.test(error.message);
    if (!counted && !line)
      this.#handler.refused(
        device,
        new FleetError("BAD_MESSAGE", `the connection is not MQTT 3.1.1: ${error.message}`, { cause: error }),
      );
  }

  // ---- messages ----

  /** Resolves when the message may be acknowledged; its connection ends when it rejects. */
  async #receive(client: Client, packet: PublishPacket): Promise<void> {
    // Aedes hands over the will as it was in CONNECT, without a command, once the connection has ended: its guard may be gone.
    const isWill = packet.cmd !== "publish";
    const link = this.#linkOf(client);
    const device = client.id;
    if (this.#closing) throw new Error("the broker is closing");
    if (this.#up.bytes(device) > 2 * maxWaitingBytes) {
      const error = new FleetError("UNAVAILABLE", `too many messages of ${device} wait to be stored`);
      link?.guard.refuse(error);
      throw error;
    }

    const payload = typeof packet.payload === "string" ? Buffer.from(packet.payload) : packet.payload;
    const handled = this.#up.run(device, payload.length + messageOverhead, async () => {
      if (this.#closing) throw new Error("the broker is closing");
      if (link?.failed && !isWill) throw new Error("a message before this one was not stored");
      await this.#handle(device, packet, payload);
    });
    if (this.#up.bytes(device) > maxWaitingBytes) link?.guard.stall(true);
    try {
      await handled;
    } catch (error) {
      if (link !== undefined && !isWill) link.failed = true;
      if (!this.#closing) this.#log.error({ device, topic: packet.topic, err: error }, "message not stored");
      // The acknowledgements of the messages before it are on their way.
      await setImmediate();
      throw error;
    } finally {
      if (!this.#closing) link?.guard.stall(this.#up.bytes(device) > maxWaitingBytes);
    }
  }

  async #handle(device: string, packet: PublishPacket, payload: Uint8Array): Promise<void> {
    const topic = parseTopic(packet.topic);
    try {
      if (topic?.direction !== "up" || !mayPublish(device, packet.topic))
        throw new FleetError("FORBIDDEN", `a device may not publish to ${quote(packet.topic)}`);
      await this.#handler.receive({ device, topic, payload });
      if (topic.kind !== "state") packet.retain = false;
    } catch (error) {
      if (!(error instanceof FleetError)) throw error;
      // Acknowledged, and nowhere to be found: nobody can subscribe to this topic.
      packet.topic = refusedTopic;
      packet.payload = Buffer.alloc(0);
      packet.retain = false;
      this.#handler.refused(device, error);
    }
  }
}

const refusedTopic = "$SYS/refused";

function connectError(returnCode: number, message: string): AuthenticateError {
  return Object.assign(new Error(message), { returnCode });
}

/** A stranger's text in a message of ours: short, on one line. */
function quote(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}...` : text);
}
