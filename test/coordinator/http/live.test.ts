import { io, type Socket } from "socket.io-client";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { openHttp } from "../../../coordinator/http/server.ts";
import type { LiveEvents } from "../../../protocol/api.ts";
import { alert, device, type FakeView, fakeView, round, task, version } from "./fake-view.ts";

type Watcher = Socket<LiveEvents, Record<string, never>>;

let view: FakeView;
let http: Awaited<ReturnType<typeof openHttp>>;
let warnings: string[];
let watchers: Watcher[];

async function start(live: { maxWaitingBytes?: number; maxWatchers?: number } = {}): Promise<void> {
  view = fakeView();
  warnings = [];
  const log = {
    debug: () => undefined,
    info: () => undefined,
    warn: (_fields: object, message: string) => warnings.push(message),
    error: () => undefined,
  };
  http = await openHttp({ host: "127.0.0.1", port: 0, view, log, live });
}

const watch = (options: Parameters<typeof io>[1] = {}): Watcher => {
  const watcher: Watcher = io(http.url, { reconnection: false, forceNew: true, ...options });
  watchers.push(watcher);
  return watcher;
};
const connected = (watcher: Watcher) => new Promise<void>((resolve) => watcher.once("connect", resolve));

beforeEach(() => {
  watchers = [];
});
afterEach(async () => {
  for (const watcher of watchers) watcher.disconnect();
  await http.close();
});

describe("live feed", () => {
  test.each([["websocket"], ["polling"]])("tells every change by its name, over %s", async (transport) => {
    await start();
    view.tell({ name: "device", view: device("before") });
    const watcher = watch({ transports: [transport] });
    const heard: unknown[] = [];
    watcher.onAny((name, seen) => heard.push([name, seen]));
    await connected(watcher);
    await vi.waitFor(() => expect(view.listeners.size).toBe(1));
    view.tell({ name: "device", view: device("pump-1") });
    view.tell({ name: "round", view: round(3) });
    view.tell({ name: "version", view: version(2) });
    view.tell({ name: "alert", view: alert(5, "pump-2") });
    view.tell({ name: "task", view: task });
    await vi.waitFor(() => expect(heard).toHaveLength(5));
    expect(heard).toEqual([
      ["device", device("pump-1")],
      ["round", round(3)],
      ["version", version(2)],
      ["alert", alert(5, "pump-2")],
      ["task", task],
    ]);
  });

  test("all watchers hear the same, and one that leaves disturbs nobody", async () => {
    await start();
    const [a, b] = [watch(), watch()];
    await Promise.all([connected(a), connected(b)]);
    const heard: string[] = [];
    b.on("device", (seen) => heard.push(seen.device));
    view.tell({ name: "device", view: device("one") });
    await vi.waitFor(() => expect(heard).toEqual(["one"]));
    a.disconnect();
    view.tell({ name: "device", view: device("two") });
    await vi.waitFor(() => expect(heard).toEqual(["one", "two"]));
  });

  test("a watcher that does not read is disconnected, and the others hear everything", async () => {
    await start({ maxWaitingBytes: 256 * 1024 });
    const deaf = watch({ transports: ["websocket"] });
    const keen = watch({ transports: ["websocket"] });
    await Promise.all([connected(deaf), connected(keen)]);
    let heard = 0;
    keen.on("device", () => {
      heard += 1;
    });
    // The client's own TCP socket stops reading.
    const transport = deaf.io.engine.transport as unknown as { ws: { _socket: { pause(): void } } };
    transport.ws._socket.pause();
    const refused = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`CODE_${i}`, i]));
    const big = { ...device("pump-1"), refused };
    let told = 0;
    const before = process.memoryUsage.rss();
    while (warnings.length === 0 && told < 40_000) {
      for (let i = 0; i < 20; i++, told++) view.tell({ name: "device", view: big });
      await new Promise(setImmediate);
    }
    expect(warnings).toEqual(["a watcher does not keep up: disconnected"]);
    await vi.waitFor(() => expect(heard).toBe(told));
    expect(process.memoryUsage.rss() - before).toBeLessThan(100 * 1024 * 1024);
    expect(keen.connected).toBe(true);
  });

  test("a polling watcher that does not come back is disconnected", async () => {
    await start({ maxWaitingBytes: 64 * 1024 });
    const watcher = watch({ transports: ["polling"] });
    await connected(watcher);
    // All in one turn: no poll can fetch anything between.
    for (let i = 0; i < 300; i++) view.tell({ name: "device", view: device("pump-1") });
    await vi.waitFor(() => expect(watcher.connected).toBe(false));
    expect(warnings).toEqual(["a watcher does not keep up: disconnected"]);
  });

  test("takes no more than so many watchers", async () => {
    await start({ maxWatchers: 2 });
    await Promise.all([connected(watch()), connected(watch())]);
    const third = watch();
    await new Promise((resolve) => third.once("connect_error", resolve));
    expect(third.connected).toBe(false);
  });

  test("a page of another origin is not let in", async () => {
    await start();
    for (const [origin, allowed] of [
      ["http://evil.example", false],
      ["null", false],
      [http.url, true],
    ] as const) {
      const watcher = watch({ transports: ["websocket"], extraHeaders: { origin } });
      const outcome = await Promise.race([
        connected(watcher).then(() => true),
        new Promise((resolve) => watcher.once("connect_error", () => resolve(false))),
      ]);
      expect([origin, outcome]).toEqual([origin, allowed]);
    }
  });

  test("close ends the watchers' connections and stops watching", async () => {
    await start();
    const watcher = watch();
    await connected(watcher);
    const gone = new Promise((resolve) => watcher.once("disconnect", resolve));
    await http.close();
    await gone;
    expect(view.listeners.size).toBe(0);
  });
});
