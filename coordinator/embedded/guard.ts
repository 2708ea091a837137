import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { FleetError } from "../../protocol/errors.ts";
import { Framing } from "./framing.ts";

export interface GuardOptions {
  /** From the socket's opening to `accept`. */
  readonly connectMs: number;
  /** From a packet's first byte to its last. */
  readonly packetMs: number;
  /** What may wait to be read by the device, in bytes and for how long. */
  readonly outboxBytes: number;
  readonly outboxMs: number;
}

export const guardDefaults: GuardOptions = {
  connectMs: 10_000,
  // The largest publish at 2 KB/s.
  packetMs: 60_000,
  // Five full windows of chunks.
  outboxBytes: 4 * 1024 * 1024,
  outboxMs: 120_000,
};

/** Bytes through all sockets since the start. */
export interface Traffic {
  receivedBytes: number;
  sentBytes: number;
}

export interface GuardContext {
  readonly traffic: Traffic;
  /** Called once, before the connection ends for what its peer did. */
  onRefused(error: FleetError): void;
}

/**
 * Stands between a device's socket and the broker's parser, which has no limits of its own. What it lets through is at most one socket read
 * (64 KiB) and one packet of an allowed size; it stops reading the socket while the broker has enough to do; and it never holds the broker
 * up with a device that does not read: such a device is disconnected.
 */
export class Guard extends Duplex {
  readonly #socket: Socket;
  readonly #options: GuardOptions;
  readonly #context: GuardContext;
  readonly #framing = new Framing();
  /** What came behind a CONNECT that is not answered yet. */
  #held: Buffer | undefined;
  #ended = false;
  #hungry = true;
  #stalled = false;
  #refused = false;
  #connectTimer: NodeJS.Timeout | undefined;
  #packetTimer: NodeJS.Timeout | undefined;
  /** Which packet that timer is for. */
  #packetTimed = 0;
  #outboxTimer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, context: GuardContext, options: GuardOptions = guardDefaults) {
    // The outbox is bounded here and not by back pressure: the broker must not wait for one device while it serves the others.
    super({ allowHalfOpen: false, writableHighWaterMark: options.outboxBytes });
    this.#socket = socket;
    this.#options = options;
    this.#context = context;
    this.#connectTimer = setTimeout(
      () => this.refuse(new FleetError("TIMEOUT", "no MQTT CONNECT was accepted in time")),
      options.connectMs,
    );
    socket.on("data", (bytes: Buffer) => this.#arrived(bytes));
    // A paused socket that has nothing left to give says so all the same.
    socket.on("end", () => {
      this.#ended = true;
      if (this.#held === undefined) this.push(null);
    });
    socket.on("drain", () => this.#clear("outbox"));
    socket.on("error", (error) => this.destroy(error));
    // After an orderly end the broker may still have to read what came before it.
    socket.on("close", () => socket.readableEnded || this.destroy());
  }

  /** Has its peer sent a CONNECT? */
  get introduced(): boolean {
    return this.#framing.stage !== "new";
  }

  /** The broker took the CONNECT: what follows may pass. */
  accept(): void {
    clearTimeout(this.#connectTimer);
    this.#framing.accept();
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined) {
      this.#pass(held);
      if (this.#ended) this.push(null);
    }
    this.#flow();
  }

  /** While stalled, nothing is read from the socket. */
  stall(stalled: boolean): void {
    if (stalled === this.#stalled) return;
    this.#stalled = stalled;
    this.#flow();
  }

  /** Ends the connection for what its peer did. */
  refuse(error: FleetError): void {
    if (this.destroyed || this.#refused) return;
    this.#refused = true;
    this.#context.onRefused(error);
    this.destroy(error);
  }

  #arrived(bytes: Buffer): void {
    this.#context.traffic.receivedBytes += bytes.length;
    if (this.destroyed) return;
    this.#pass(bytes);
    this.#flow();
  }

  #pass(bytes: Buffer): void {
    let passed: number;
    try {
      passed = this.#framing.pass(bytes);
    } catch (error) {
      this.refuse(error as FleetError);
      return;
    }
    if (passed < bytes.length) this.#held = bytes.subarray(passed);
    if (passed > 0) this.#hungry = this.push(bytes.subarray(0, passed));
  }

  #flow(): void {
    const reading = this.#hungry && !this.#stalled && this.#held === undefined && !this.destroyed;
    if (reading) this.#socket.resume();
    else this.#socket.pause();
    // Only the peer's own slowness counts, not the time in which nobody listens to it.
    if (!reading || !this.#framing.midPacket || this.#framing.begun !== this.#packetTimed)
      this.#clear("packet");
    this.#packetTimed = this.#framing.begun;
    if (reading && this.#framing.midPacket)
      this.#packetTimer ??= setTimeout(
        () => this.refuse(new FleetError("TIMEOUT", "an MQTT packet was begun and not ended in time")),
        this.#options.packetMs,
      );
  }

  #clear(which: "packet" | "outbox"): void {
    if (which === "packet") {
      clearTimeout(this.#packetTimer);
      this.#packetTimer = undefined;
    } else {
      clearTimeout(this.#outboxTimer);
      this.#outboxTimer = undefined;
    }
  }

  override _read(): void {
    this.#hungry = true;
    this.#flow();
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send(bytes);
    done();
  }

  override _writev(
    writes: { chunk: Buffer; encoding: BufferEncoding }[],
    done: (error?: Error | null) => void,
  ): void {
    this.#socket.cork();
    for (const { chunk } of writes) this.#send(chunk);
    this.#socket.uncork();
    done();
  }

  #send(bytes: Buffer): void {
    this.#context.traffic.sentBytes += bytes.length;
    this.#socket.write(bytes);
    const waiting = this.#socket.writableLength;
    if (waiting > this.#options.outboxBytes) this.#unread(waiting);
    else if (this.#socket.writableNeedDrain)
      this.#outboxTimer ??= setTimeout(
        () => this.#unread(this.#socket.writableLength),
        this.#options.outboxMs,
      );
  }

  #unread(waiting: number): void {
    this.refuse(new FleetError("TIMEOUT", `the device does not read what it is sent: ${waiting} bytes wait`));
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#connectTimer);
    this.#clear("packet");
    this.#clear("outbox");
    this.#held = undefined;
    this.#socket.destroy();
    done(error);
  }
}
