import { FleetError } from "../../protocol/errors.ts";
import { limits } from "../../protocol/limits.ts";

/** The largest remaining length (MQTT 3.1.1, 2.2.3) that each kind of packet may announce, bytes. */
export interface PacketLimits {
  readonly publishBytes: number;
  /** CONNECT, from somebody whom nobody knows yet: ids, token and last will. */
  readonly connectBytes: number;
  /** SUBSCRIBE and the like. */
  readonly controlBytes: number;
}

export const packetLimits: PacketLimits = {
  // The topic's length and the packet identifier, 2 bytes each, come on top of topic and payload.
  publishBytes: limits.publishBytes + 4,
  connectBytes: 2 * 1024,
  controlBytes: 4 * 1024,
};

/**
 * Reads nothing of an MQTT stream but the fixed headers, and so knows how long each packet says it is before any of it is kept. Takes the
 * packets that a device has to send under MQTT 3.1.1 and no others: no QoS 2, one CONNECT, and nothing after it until `accept`.
 */
export class Framing {
  readonly #limits: PacketLimits;
  #stage: "new" | "connecting" | "open" = "new";
  /** The fixed header under way: how many bytes of it were read, what it allows, and its length so far. */
  #header = { bytes: 0, max: 0, length: 0 };
  #bodyLeft = 0;
  #begun = 0;

  constructor(packets: PacketLimits = packetLimits) {
    this.#limits = packets;
  }

  get stage(): "new" | "connecting" | "open" {
    return this.#stage;
  }

  /** A packet has begun and is not whole. */
  get midPacket(): boolean {
    return this.#bodyLeft > 0 || this.#header.bytes > 0;
  }

  /** Packets begun so far. */
  get begun(): number {
    return this.#begun;
  }

  /** The CONNECT was answered: what follows it may pass. */
  accept(): void {
    this.#stage = "open";
  }

  /**
   * How many of the bytes may pass; fewer than all of them only between a CONNECT and its acceptance, and then the rest must be given
   * again. Throws BAD_MESSAGE or TOO_LARGE, after which nothing of the connection can be read any more.
   */
  pass(bytes: Uint8Array): number {
    let at = 0;
    while (at < bytes.length) {
      if (this.#bodyLeft > 0) {
        const step = Math.min(this.#bodyLeft, bytes.length - at);
        this.#bodyLeft -= step;
        at += step;
      } else if (this.#stage === "connecting") {
        return at;
      } else if (this.#header.bytes === 0) {
        this.#begun += 1;
        this.#header = { bytes: 1, max: this.#allowed(bytes[at++]!), length: 0 };
      } else {
        this.#readLength(bytes[at++]!);
      }
    }
    return at;
  }

  /** What the packet that starts with `head` (type and flags) may be long. */
  #allowed(head: number): number {
    if (this.#stage === "new") {
      if (head === 0x10) return this.#limits.connectBytes;
      throw new FleetError("BAD_MESSAGE", "the connection does not start with an MQTT CONNECT");
    }
    if (head >> 4 === 3) {
      if (((head >> 1) & 3) < 2) return this.#limits.publishBytes;
      throw new FleetError("BAD_MESSAGE", "QoS 2 is not offered: publish with QoS 1");
    }
    // PUBACK, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT, with the flags that the specification fixes.
    if ([0x40, 0x82, 0xa2, 0xc0, 0xe0].includes(head)) return this.#limits.controlBytes;
    throw new FleetError("BAD_MESSAGE", `a device has no MQTT packet 0x${head.toString(16)} to send`);
  }

  /** Remaining length: 7 bits a byte, least significant first, at most 4 bytes. */
  #readLength(byte: number): void {
    const header = this.#header;
    header.length += (byte & 0x7f) * 128 ** (header.bytes - 1);
    header.bytes += 1;
    if (header.length > header.max) {
      throw new FleetError(
        "TOO_LARGE",
        `an MQTT packet of ${header.length} bytes or more is over its limit of ${header.max}`,
      );
    }
    if ((byte & 0x80) !== 0) {
      if (header.bytes > 4) throw new FleetError("BAD_MESSAGE", "an MQTT packet has a malformed length");
      return;
    }
    // A longer form than needed could be read in two ways, here and in the parser behind.
    if (byte === 0 && header.bytes > 2)
      throw new FleetError("BAD_MESSAGE", "an MQTT packet has a malformed length");
    if (this.#stage === "new") this.#stage = "connecting";
    this.#bodyLeft = header.length;
    header.bytes = 0;
  }
}
