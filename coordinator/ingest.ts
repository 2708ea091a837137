import type { Topic } from "../protocol/topics.ts";

/** A publish of a device whose topic was checked against its credentials. The device is the connection's, never the payload's. */
export interface UpMessage {
  readonly device: string;
  readonly topic: Extract<Topic, { direction: "up" }>;
  readonly payload: Uint8Array;
}

/** What the coordinator does with its devices' traffic. */
export interface IngestHandler {
  /** Is `token` this device's? */
  authenticate(device: string, token: string): Promise<boolean>;
  /**
   * Runs for every publish; the PUBACK goes out when it resolves, so what must survive is durable by then. Rejecting with a FleetError refuses
   * this one message: it is acknowledged (else the device would send it for ever), dropped and counted. Any other rejection is our own
   * fault: the message is not acknowledged and the connection is closed, so that the device sends it again.
   */
  receive(message: UpMessage): Promise<void>;
  /** A connection or message was refused: too large, not authenticated, not allowed, or because `receive` said so. For counting. */
  refused(device: string | undefined, error: Error): void;
  connected(device: string): void;
  disconnected(device: string): void;
}

/** The way to the devices: embedded broker now, NATS JetStream gateways later. */
export interface Ingest {
  /** mqtt://host:port that devices connect to. */
  readonly url: string;
  /** QoS 1. Resolves when the broker has it. */
  publish(topic: string, payload: Uint8Array, options: { readonly retain: boolean }): Promise<void>;
  /** Bytes that went through the sockets since the start, for the benchmark and the metrics. */
  traffic(): { readonly receivedBytes: number; readonly sentBytes: number };
  close(): Promise<void>;
}
