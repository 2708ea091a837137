import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import fc from "fast-check";
import mqttPacket from "mqtt-packet";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type AedesIngestOptions, openAedesIngest } from "../../../coordinator/embedded/aedes-ingest.ts";
import type { Ingest } from "../../../coordinator/ingest.ts";
import { topics } from "../../../protocol/topics.ts";
import { codes, type Recorder, recorder, tokenOf } from "../../contracts/ingest.contract.ts";

const log = { debug: () => undefined, warn: () => undefined, error: () => undefined };
const MiB = 1024 * 1024;

let handler: Recorder;
let ingest: Ingest;
let sockets: Socket[];

async function start(options: Partial<AedesIngestOptions> = {}): Promise<void> {
  handler = recorder();
  sockets = [];
  ingest = await openAedesIngest({ host: "127.0.0.1", port: 0, handler, log, ...options });
}

beforeEach(() => {
  sockets = [];
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await ingest.close();
});

async function socket(): Promise<Socket> {
  const { hostname, port } = new URL(ingest.url);
  const made = connectTcp(Number(port), hostname);
  made.on("error", () => undefined);
  sockets.push(made);
  await once(made, "connect");
  return made;
}

// With or without an error: a refused peer may see its connection reset.
const ended = (peer: Socket) =>
  new Promise<void>((resolve) => {
    if (peer.closed) resolve();
    else peer.once("close", () => resolve());
  });

const connectPacket = (device: string) =>
  mqttPacket.generate({
    cmd: "connect",
    protocolId: "MQTT",
    protocolVersion: 4,
    clean: true,
    clientId: device,
    username: device,
    password: Buffer.from(tokenOf(device)),
    keepalive: 60,
  });

const publishPacket = (topic: string, payload: Buffer | string, messageId = 1) =>
  mqttPacket.generate({
    cmd: "publish",
    topic,
    payload,
    qos: 1,
    messageId,
    dup: false,
    retain: false,
  });

/** A device on a bare socket, whose CONNECT was accepted. */
async function device(id: string): Promise<Socket> {
  const peer = await socket();
  peer.write(connectPacket(id));
  const [connack] = await once(peer, "data");
  expect(connack[3]).toBe(0);
  return peer;
}

/** A whole round trip through the broker. */
async function serves(id: string): Promise<void> {
  const peer = await device(id);
  peer.write(publishPacket(topics.up(id, "event"), "alive"));
  const [puback] = await once(peer, "data");
  expect(puback[0]).toBe(0x40);
  peer.destroy();
}

/** Writes `bytes` until all of them are gone or the other side has closed; what was taken, in bytes. */
async function push(peer: Socket, first: Uint8Array, bytes: number): Promise<number> {
  const block = Buffer.alloc(64 * 1024, 0x61);
  const gone = ended(peer);
  peer.write(first);
  while (peer.bytesWritten < bytes && !peer.destroyed) {
    if (peer.write(block)) continue;
    await Promise.race([once(peer, "drain").catch(() => undefined), gone]);
  }
  return peer.bytesWritten;
}

async function rssGrowth(work: () => Promise<void>): Promise<number> {
  globalThis.gc?.();
  const before = process.memoryUsage.rss();
  let most = before;
  const watch = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss());
  }, 5);
  await work();
  clearInterval(watch);
  return Math.max(most, process.memoryUsage.rss()) - before;
}

describe("guard", () => {
  test("100 MB from somebody unknown are refused at the header, and others are served", async () => {
    await start();
    await serves("pump-1");
    const growth = await rssGrowth(async () => {
      const claims = [
        Buffer.of(0x10, 0xff, 0xff, 0xff, 0x7f), // a CONNECT of 256 MB
        Buffer.of(0x30, 0xff, 0xff, 0xff, 0x7f), // a publish before CONNECT
      ];
      for (const claim of claims) {
        const peer = await socket();
        await push(peer, claim, 100 * MiB);
        await ended(peer);
      }
    });
    expect(codes(handler)).toEqual([
      [undefined, "TOO_LARGE"],
      [undefined, "BAD_MESSAGE"],
    ]);
    expect(growth).toBeLessThan(30 * MiB);
    await serves("pump-2");
  });

  test("100 MB in one publish of a device are refused at the header, and others are served", async () => {
    await start();
    const peer = await device("pump-1");
    const growth = await rssGrowth(async () => {
      // Remaining length 100 MiB = 0x80 0x80 0x80 0x32.
      await push(peer, Buffer.of(0x32, 0x80, 0x80, 0x80, 0x32), 100 * MiB);
      await ended(peer);
    });
    expect(codes(handler)).toEqual([["pump-1", "TOO_LARGE"]]);
    expect(growth).toBeLessThan(30 * MiB);
    await serves("pump-2");
  });

  test("100 MB in small publishes wait in the device's own socket while they can't be stored", async () => {
    await start();
    let store = () => {};
    const stored = new Promise<void>((resolve) => {
      store = resolve;
    });
    handler.onReceive = ({ device: id }) => (id === "pump-1" ? stored : Promise.resolve());
    const peer = await device("pump-1");
    peer.resume();
    const block = publishPacket(topics.chunkUp("pump-1", "a".repeat(32)), Buffer.alloc(96 * 1024));
    const growth = await rssGrowth(async () => {
      let waiting = true;
      const drained = () => {
        waiting = false;
      };
      // Until the kernel's buffers are full and the broker takes no more.
      while (peer.writableLength < 2 * MiB) {
        waiting = !peer.write(block);
        if (!waiting) continue;
        peer.once("drain", drained);
        for (let turn = 0; turn < 20 && waiting; turn++) await new Promise(setImmediate);
        peer.off("drain", drained);
      }
      await serves("pump-2");
    });
    expect(growth).toBeLessThan(40 * MiB);
    expect(ingest.traffic().receivedBytes).toBeLessThan(2 * MiB);
    // None of it is lost.
    const sent = Math.floor(peer.bytesWritten / block.length);
    expect(sent).toBeGreaterThan(20);
    store();
    await vi.waitFor(
      () => expect(handler.received.filter((message) => message.device === "pump-1")).toHaveLength(sent),
      { timeout: 5_000 },
    );
  });

  test("a publish of the largest allowed size passes", async () => {
    await start();
    const topic = topics.chunkUp("pump-1", "a".repeat(32));
    const peer = await device("pump-1");
    peer.write(publishPacket(topic, Buffer.alloc(120 * 1024 - topic.length)));
    await vi.waitFor(() => expect(handler.received).toHaveLength(1));
    peer.write(publishPacket(topic, Buffer.alloc(120 * 1024 - topic.length + 1)));
    await ended(peer);
    expect(codes(handler)).toEqual([["pump-1", "TOO_LARGE"]]);
  });

  test("QoS 2 is refused", async () => {
    await start();
    const peer = await device("pump-1");
    const qos2 = { cmd: "publish", topic: topics.up("pump-1", "event"), payload: "x", qos: 2 } as const;
    peer.write(mqttPacket.generate({ ...qos2, messageId: 1, dup: false, retain: false }));
    await ended(peer);
    expect(codes(handler)).toEqual([["pump-1", "BAD_MESSAGE"]]);
  });

  test("MQTT 5 is answered with 'unacceptable protocol version' and counted", async () => {
    await start();
    const peer = await socket();
    const connect = connectPacket("pump-1");
    connect[connect.indexOf("MQTT") + 4] = 5;
    // An empty property list behind the keepalive, as version 5 has it.
    const at = connect.indexOf("MQTT") + 8;
    const five = Buffer.concat([connect.subarray(0, at), Buffer.of(0), connect.subarray(at)]);
    five[1]! += 1;
    peer.write(five);
    const [connack] = await once(peer, "data");
    expect(connack[0]).toBe(0x20);
    expect(connack[3]).toBe(1);
    await ended(peer);
    expect(codes(handler)).toEqual([[undefined, "BAD_MESSAGE"]]);
  });

  test("what a device sends behind its CONNECT, without waiting for the answer, is taken", async () => {
    await start();
    const peer = await socket();
    const publishes = [1, 2, 3].map((n) => publishPacket(topics.up("pump-1", "event"), `${n}`, n));
    peer.write(Buffer.concat([connectPacket("pump-1"), ...publishes]));
    await vi.waitFor(() => expect(handler.received).toHaveLength(3));
    // Nor does it matter that it has gone since.
    const hasty = await socket();
    hasty.end(Buffer.concat([connectPacket("pump-2"), publishPacket(topics.up("pump-2", "event"), "bye")]));
    await vi.waitFor(() => expect(handler.received).toHaveLength(4));
  });

  test("somebody who sends no CONNECT, or half of one, is disconnected", async () => {
    await start({ guard: { connectMs: 60 } });
    const silent = await socket();
    const slow = await socket();
    slow.write(connectPacket("pump-1").subarray(0, 10));
    await Promise.all([ended(silent), ended(slow)]);
    expect(codes(handler)).toEqual([
      [undefined, "TIMEOUT"],
      [undefined, "TIMEOUT"],
    ]);
  });

  test("a device that begins a packet and does not end it is disconnected, and one that keeps sending is not", async () => {
    await start({ guard: { packetMs: 80 } });
    const slow = await device("pump-1");
    const busy = await device("pump-2");
    const one = publishPacket(topics.up("pump-1", "event"), "abcdef");
    const two = publishPacket(topics.up("pump-2", "event"), "abcdef");
    slow.write(one.subarray(0, 7));
    // Always in the middle of a packet, never long in the same one.
    let at = 0;
    const stream = setInterval(() => {
      busy.write(Buffer.concat([two.subarray(at), two.subarray(0, 7)]));
      at = 7;
    }, 10);
    await ended(slow);
    await vi.waitFor(() => expect(handler.received.length).toBeGreaterThan(20));
    clearInterval(stream);
    expect(codes(handler)).toEqual([["pump-1", "TIMEOUT"]]);
    expect(busy.destroyed).toBe(false);
  });

  test("a device that does not read what it is sent is disconnected, and holds nobody up", async () => {
    await start({ guard: { outboxBytes: MiB } });
    const deaf = await device("pump-1");
    deaf.write(
      mqttPacket.generate({
        cmd: "subscribe",
        messageId: 1,
        subscriptions: [{ topic: topics.inbox("pump-1"), qos: 1 }],
      }),
    );
    await once(deaf, "data");
    deaf.pause();
    const block = Buffer.alloc(96 * 1024);
    // Loopback buffers take several megabytes before anything waits here.
    await vi.waitFor(
      async () => {
        for (let i = 0; i < 16; i++)
          await ingest.publish(topics.down("pump-1", "chunk"), block, { retain: false });
        expect(codes(handler)).toEqual([["pump-1", "TIMEOUT"]]);
      },
      { interval: 1, timeout: 5_000 },
    );
    await serves("pump-2");
    expect(handler.comings.slice(0, 2)).toEqual(["+pump-1", "-pump-1"]);
  });

  test("of too many strangers the oldest silent one has to go, and devices still come in", async () => {
    await start({ maxStrangers: 10 });
    const strangers: Socket[] = [];
    for (let i = 0; i < 14; i++) strangers.push(await socket());
    await Promise.all(strangers.slice(0, 4).map(ended));
    await serves("pump-1");
    expect(strangers.slice(5).every((stranger) => !stranger.destroyed)).toBe(true);
    expect(codes(handler)).toEqual(Array(5).fill([undefined, "UNAVAILABLE"]));
  });

  test("random bytes, before and after CONNECT, end at most their own connection", async () => {
    await start();
    const crashed = vi.fn();
    process.on("uncaughtException", crashed);
    const heads = fc.constantFrom(0x10, 0x30, 0x31, 0x32, 0x3b, 0x40, 0x82, 0xa2, 0xc0, 0xe0);
    // Headers that the guard lets pass, with any body: this is what the parser and the broker get to see.
    const framed = fc
      .tuple(heads, fc.uint8Array({ maxLength: 40 }))
      .map(([head, body]) => Buffer.from([head, body.length, ...body]));
    const anything = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes));
    const stream = fc.array(fc.oneof({ weight: 4, arbitrary: framed }, anything), { maxLength: 6 });
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(fc.boolean(), stream, async (known, parts) => {
        const peer = known ? await device(`fuzz-${runs++ % 4}`) : await socket();
        peer.resume();
        peer.end(Buffer.concat(parts));
        await ended(peer);
      }),
      { numRuns: 400 },
    );
    await serves("pump-1");
    process.off("uncaughtException", crashed);
    expect(crashed).not.toHaveBeenCalled();
  }, 20_000);
});
