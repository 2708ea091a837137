import { type EventEmitter, once as onceEvent } from "node:events";
import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Ingest, IngestHandler, UpMessage } from "../../coordinator/ingest.ts";
import { FleetError } from "../../protocol/errors.ts";
import { limits } from "../../protocol/limits.ts";
import { topics } from "../../protocol/topics.ts";

/** A handler that writes down what it is told. Every device's token is `token-of-{device}`. */
export interface Recorder extends IngestHandler {
  readonly received: UpMessage[];
  readonly refusals: { device: string | undefined; error: Error }[];
  readonly comings: string[];
  /** What `receive` does, for the tests that need more of it than to remember. */
  onReceive: (message: UpMessage) => Promise<void>;
}

export function recorder(): Recorder {
  const self: Recorder = {
    received: [],
    refusals: [],
    comings: [],
    onReceive: async () => undefined,
    authenticate: async (device, token) => token === tokenOf(device),
    async receive(message) {
      await self.onReceive(message);
      self.received.push({ ...message, payload: message.payload.slice() });
    },
    refused: (device, error) => self.refusals.push({ device, error }),
    connected: (device) => self.comings.push(`+${device}`),
    disconnected: (device) => self.comings.push(`-${device}`),
  };
  return self;
}

export const tokenOf = (device: string) => `token-of-${device}`;

/** A client that is not connected yet. */
export function dial(url: string, device: string, options: IClientOptions = {}): MqttClient {
  const client = mqtt.connect(url, {
    clientId: device,
    username: device,
    password: tokenOf(device),
    reconnectPeriod: 0,
    connectTimeout: 5_000,
    ...options,
  });
  // What a test wants to know of errors it asks for; none may end the test's process.
  client.on("error", () => undefined);
  return client;
}

// The client's own types leave it short of being an EventEmitter.
const once = (client: MqttClient, event: string) => onceEvent(client as unknown as EventEmitter, event);

export const codes = ({ refusals }: Recorder) =>
  refusals.map(({ device, error }) => [device, (error as FleetError).code]);

/** What every Ingest does, seen by real MQTT clients. */
export function ingestContract(name: string, start: (handler: IngestHandler) => Promise<Ingest>): void {
  let handler: Recorder;
  let ingest: Ingest;
  let clients: MqttClient[];
  beforeEach(async () => {
    handler = recorder();
    clients = [];
    ingest = await start(handler);
  });
  afterEach(async () => {
    for (const client of clients) client.end(true);
    await ingest.close();
  });

  const call = (device: string, options?: IClientOptions) => {
    const client = dial(ingest.url, device, options);
    clients.push(client);
    return client;
  };
  const connect = async (device: string, options?: IClientOptions) => {
    const client = call(device, options);
    await once(client, "connect");
    return client;
  };
  const inbox = (client: MqttClient) => {
    const messages: { topic: string; text: string; retain: boolean }[] = [];
    client.on("message", (topic, payload, { retain }) =>
      messages.push({ topic, text: payload.toString(), retain }),
    );
    return messages;
  };
  const text = ({ payload }: UpMessage) => Buffer.from(payload).toString();

  test(`${name} - hands over what a device publishes, with the device of the connection`, async () => {
    const client = await connect("pump-1");
    await client.publishAsync(topics.up("pump-1", "event"), "hello", { qos: 1 });
    await client.publishAsync(topics.chunkUp("pump-1", "a".repeat(32)), "chunk", { qos: 1 });
    expect(handler.received.map((m) => [m.device, m.topic.kind, text(m)])).toEqual([
      ["pump-1", "event", "hello"],
      ["pump-1", "upd", "chunk"],
    ]);
    expect(handler.refusals).toEqual([]);
    expect(handler.comings).toEqual(["+pump-1"]);
    client.end();
    await vi.waitFor(() => expect(handler.comings).toEqual(["+pump-1", "-pump-1"]));
  });

  test(`${name} - a QoS 0 message sent right before the end is not lost`, async () => {
    const client = await connect("pump-1");
    client.publish(topics.up("pump-1", "hb"), "last words", { qos: 0 });
    client.end();
    await vi.waitFor(() => expect(handler.received.map(text)).toEqual(["last words"]));
  });

  test(`${name} - PUBACK is not sent before receive resolves`, async () => {
    let store = () => {};
    const stored = new Promise<void>((resolve) => {
      store = resolve;
    });
    const asked = new Promise<void>((resolve) => {
      handler.onReceive = () => {
        resolve();
        return stored;
      };
    });
    const client = await connect("pump-1");
    let acknowledged = false;
    const published = client.publishAsync(topics.up("pump-1", "event"), "x", { qos: 1 }).then(() => {
      acknowledged = true;
    });
    await asked;
    // Another device goes all the way there and back meanwhile.
    handler.onReceive = async () => undefined;
    const other = await connect("pump-2");
    await other.publishAsync(topics.up("pump-2", "event"), "y", { qos: 1 });
    expect(acknowledged).toBe(false);
    store();
    await published;
  });

  test(`${name} - messages of one device are handled in order, one at a time`, async () => {
    let running = 0;
    let most = 0;
    handler.onReceive = async ({ payload }) => {
      running += 1;
      most = Math.max(most, running);
      // The earlier ones take longer.
      for (let turn = payload[0]!; turn < 60; turn += 10) await new Promise(setImmediate);
      running -= 1;
    };
    const client = await connect("pump-1");
    await Promise.all(
      Array.from({ length: 60 }, (_, i) =>
        client.publishAsync(topics.up("pump-1", "event"), Buffer.of(i), { qos: 1 }),
      ),
    );
    expect(handler.received.map(({ payload }) => payload[0])).toEqual(
      Array.from({ length: 60 }, (_, i) => i),
    );
    expect(most).toBe(1);
  });

  test(`${name} - a FleetError refuses one message: acknowledged, counted, and the connection goes on`, async () => {
    handler.onReceive = async (message) => {
      if (text(message) === "bad") throw new FleetError("BAD_MESSAGE", "no");
    };
    const client = await connect("pump-1");
    await client.publishAsync(topics.up("pump-1", "event"), "bad", { qos: 1 });
    await client.publishAsync(topics.up("pump-1", "event"), "good", { qos: 1 });
    expect(handler.received.map(text)).toEqual(["good"]);
    expect(codes(handler)).toEqual([["pump-1", "BAD_MESSAGE"]]);
  });

  test(`${name} - any other error leaves the message unacknowledged, and the device sends it again, in order`, async () => {
    let broken = true;
    handler.onReceive = async (message) => {
      if (broken && text(message) === "2") {
        broken = false;
        throw new Error("the disk is full");
      }
    };
    const client = await connect("pump-1", { reconnectPeriod: 20, clean: false });
    await Promise.all(
      ["1", "2", "3"].map((n) => client.publishAsync(topics.up("pump-1", "event"), n, { qos: 1 })),
    );
    // "1" may come twice: its acknowledgement can be lost with the connection.
    expect([...new Set(handler.received.map(text))]).toEqual(["1", "2", "3"]);
    expect(handler.refusals).toEqual([]);
    expect(handler.comings.slice(0, 3)).toEqual(["+pump-1", "-pump-1", "+pump-1"]);
  });

  test(`${name} - a wrong token, a foreign id and no credentials are refused`, async () => {
    const wrong: [string, IClientOptions][] = [
      ["pump-1", { password: "guess" }],
      ["pump-1", { username: "pump-2", password: tokenOf("pump-2") }],
      ["pump-2", { username: "pump-1" }],
      ["Pump_1", { username: "Pump_1", password: tokenOf("Pump_1") }],
    ];
    for (const [device, options] of wrong) {
      const [error] = await once(call(device, options), "error");
      expect(error).toMatchObject({ code: 5 });
    }
    const anonymous = mqtt.connect(ingest.url, { reconnectPeriod: 0 });
    clients.push(anonymous);
    expect((await once(anonymous, "error"))[0]).toMatchObject({ code: 5 });
    expect(codes(handler)).toEqual(Array(5).fill([undefined, "FORBIDDEN"]));
    expect(handler.comings).toEqual([]);
  });

  test(`${name} - a foreign topic is refused and counted, and the connection goes on`, async () => {
    const other = await connect("pump-2");
    const heard = inbox(other);
    await other.subscribeAsync(topics.inbox("pump-2"), { qos: 1 });
    const client = await connect("pump-1");
    const foreign = [
      topics.up("pump-2", "event"),
      topics.down("pump-2", "want"),
      topics.down("pump-1", "want"),
      "$SYS/anything",
      "starling/v1/pump-1/up/nonsense",
      "elsewhere",
      `starling/v1/pump-1/up/event${"/x".repeat(120)}`.slice(0, 90),
    ];
    for (const topic of foreign) await client.publishAsync(topic, "x", { qos: 1, retain: true });
    await client.publishAsync(topics.up("pump-1", "event"), "mine", { qos: 1 });
    expect(handler.received.map(text)).toEqual(["mine"]);
    expect(codes(handler)).toEqual(foreign.map(() => ["pump-1", "FORBIDDEN"]));
    // Neither delivered nor retained.
    await other.unsubscribeAsync(topics.inbox("pump-2"));
    await other.subscribeAsync(topics.inbox("pump-2"), { qos: 1 });
    await ingest.publish(topics.down("pump-2", "cmd"), Buffer.from("end"), { retain: false });
    await vi.waitFor(() => expect(heard.map((m) => m.text)).toContain("end"));
    expect(heard).toHaveLength(1);
  });

  test(`${name} - a device subscribes to what is sent to it and to nothing else`, async () => {
    const client = await connect("pump-1");
    const granted = await client.subscribeAsync(topics.inbox("pump-1"), { qos: 1 });
    expect(granted[0]).toMatchObject({ qos: 1 });
    for (const filter of [
      "#",
      "+/#",
      "$SYS/#",
      topics.inbox("pump-2"),
      topics.up("pump-1", "event"),
      "starling/v1/+/dn/want",
    ]) {
      await expect(client.subscribeAsync(filter, { qos: 1 })).rejects.toThrow();
      expect(handler.refusals.at(-1)).toMatchObject({ device: "pump-1", error: { code: "FORBIDDEN" } });
    }
    await client.publishAsync(topics.up("pump-1", "event"), "still here", { qos: 1 });
  });

  test(`${name} - the retained want comes with the subscription, the latest only`, async () => {
    const want = topics.down("pump-1", "want");
    await ingest.publish(want, Buffer.from("old"), { retain: true });
    await ingest.publish(want, Buffer.from("new"), { retain: true });
    await ingest.publish(topics.down("pump-2", "want"), Buffer.from("not yours"), { retain: true });
    const client = await connect("pump-1");
    const messages = inbox(client);
    await client.subscribeAsync(topics.inbox("pump-1"), { qos: 1 });
    await vi.waitFor(() => expect(messages).toEqual([{ topic: want, text: "new", retain: true }]));
  });

  test(`${name} - what is published arrives whole and in order, retained or not`, async () => {
    const client = await connect("pump-1");
    const messages = inbox(client);
    await client.subscribeAsync(topics.inbox("pump-1"), { qos: 1 });
    const big = Buffer.alloc(limits.chunkBytes, "x");
    const sent: string[] = [];
    const publishing: Promise<void>[] = [];
    for (let i = 0; i < 40; i++) {
      const retain = i % 2 === 0;
      const payload = i % 8 === 1 ? big : Buffer.from(`${i}`);
      sent.push(payload.toString());
      publishing.push(ingest.publish(topics.down("pump-1", retain ? "want" : "cmd"), payload, { retain }));
    }
    await Promise.all(publishing);
    await vi.waitFor(() => expect(messages).toHaveLength(sent.length));
    expect(messages.map((m) => m.text === sent[messages.indexOf(m)])).toEqual(sent.map(() => true));
  });

  test(`${name} - nothing but the retained is kept for an absent device, whatever session it asks for`, async () => {
    const first = await connect("pump-1", { clean: false });
    await first.subscribeAsync(topics.inbox("pump-1"), { qos: 1 });
    await first.endAsync();
    await vi.waitFor(() => expect(handler.comings).toContain("-pump-1"));
    await ingest.publish(topics.down("pump-1", "cmd"), Buffer.from("missed"), { retain: false });
    const again = call("pump-1", { clean: false });
    const messages = inbox(again);
    const [connack] = await once(again, "connect");
    expect(connack).toMatchObject({ sessionPresent: false });
    await again.subscribeAsync(topics.inbox("pump-1"), { qos: 1 });
    await ingest.publish(topics.down("pump-1", "cmd"), Buffer.from("now"), { retain: false });
    await vi.waitFor(() => expect(messages.map((m) => m.text)).toContain("now"));
    expect(messages).toHaveLength(1);
  });

  test(`${name} - a publish over the limit is TOO_LARGE`, async () => {
    const tooMuch = new Uint8Array(limits.publishBytes);
    await expect(
      ingest.publish(topics.down("pump-1", "cmd"), tooMuch, { retain: false }),
    ).rejects.toMatchObject({ code: "TOO_LARGE" });
  });

  test(`${name} - the last will of a lost device is received, and that of one that said goodbye is not`, async () => {
    const will = {
      topic: topics.up("pump-1", "state"),
      payload: Buffer.from("death"),
      qos: 1,
      retain: true,
    } as const;
    const polite = await connect("pump-1", { will });
    await polite.endAsync();
    await vi.waitFor(() => expect(handler.comings).toContain("-pump-1"));
    const lost = await connect("pump-1", { will });
    expect(handler.received).toEqual([]);
    lost.stream.destroy();
    await vi.waitFor(() =>
      expect(handler.received.map((m) => [m.device, m.topic.kind, text(m)])).toEqual([
        ["pump-1", "state", "death"],
      ]),
    );
  });

  test(`${name} - a will for somebody else's topic is refused`, async () => {
    const will = {
      topic: topics.up("pump-2", "state"),
      payload: Buffer.from("death"),
      qos: 1,
      retain: true,
    } as const;
    const client = await connect("pump-1", { will });
    client.stream.destroy();
    await vi.waitFor(() => expect(codes(handler)).toEqual([["pump-1", "FORBIDDEN"]]));
    expect(handler.received).toEqual([]);
  });

  test(`${name} - a second connection takes over: the old one's will comes before the new one's birth`, async () => {
    const options = (boot: number) => ({
      will: {
        topic: topics.up("pump-1", "state"),
        payload: Buffer.from(`death ${boot}`),
        qos: 1,
        retain: true,
      } as const,
    });
    const first = await connect("pump-1", options(1));
    const closed = once(first, "close");
    const second = await connect("pump-1", options(2));
    await closed;
    await second.publishAsync(topics.up("pump-1", "state"), "birth 2", { qos: 1, retain: true });
    expect(handler.received.map(text)).toEqual(["death 1", "birth 2"]);
    expect(handler.comings).toEqual(["+pump-1", "-pump-1", "+pump-1"]);
    const messages = inbox(second);
    await second.subscribeAsync(topics.inbox("pump-1"), { qos: 1 });
    await ingest.publish(topics.down("pump-1", "cmd"), Buffer.from("to the second"), { retain: false });
    await vi.waitFor(() => expect(messages).toHaveLength(1));
  });

  test(`${name} - close ends the connections, invents no deaths and lets what is being stored be acknowledged`, async () => {
    let store = () => {};
    const asked = new Promise<void>((resolve) => {
      handler.onReceive = () =>
        new Promise<void>((done) => {
          store = done;
          resolve();
        });
    });
    const will = {
      topic: topics.up("pump-1", "state"),
      payload: Buffer.from("death"),
      qos: 1,
      retain: true,
    } as const;
    const client = await connect("pump-1", { will });
    const gone = once(client, "close");
    const published = client.publishAsync(topics.up("pump-1", "event"), "x", { qos: 1 });
    await asked;
    const closing = ingest.close();
    store();
    await Promise.all([published, closing, gone]);
    expect(handler.received.map(text)).toEqual(["x"]);
    await expect(
      ingest.publish(topics.down("pump-1", "cmd"), Buffer.of(1), { retain: false }),
    ).rejects.toThrow();
  });

  test(`${name} - counts the bytes of both directions`, async () => {
    const client = await connect("pump-1");
    const messages = inbox(client);
    await client.subscribeAsync(topics.inbox("pump-1"), { qos: 1 });
    const before = ingest.traffic();
    await client.publishAsync(topics.up("pump-1", "event"), Buffer.alloc(10_000), { qos: 1 });
    await ingest.publish(topics.down("pump-1", "cmd"), Buffer.alloc(5_000), { retain: false });
    await vi.waitFor(() => expect(messages).toHaveLength(1));
    const { receivedBytes, sentBytes } = ingest.traffic();
    expect(receivedBytes - before.receivedBytes).toBeGreaterThan(10_000);
    expect(receivedBytes - before.receivedBytes).toBeLessThan(10_200);
    expect(sentBytes - before.sentBytes).toBeGreaterThan(5_000);
    expect(sentBytes - before.sentBytes).toBeLessThan(5_200);
  });
}
