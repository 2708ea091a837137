import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { alertId } from "../../agent/alert.ts";
import { systemClock } from "../../agent/clock.ts";
import { openSpool, type SpoolOptions } from "../../agent/spool.ts";
import { decode } from "../../protocol/codec.ts";
import { Alert } from "../../protocol/messages.ts";
import { until } from "../support/until.ts";
import { type Sandbox, sandbox } from "./sandbox.ts";

let box: Sandbox;
const stop = new AbortController();
beforeEach(async () => {
  box = await sandbox();
});
afterEach(() => box.close());

function alert(row: number): Alert {
  const id = alertId({ row, atMs: 5, score: 2, phase: "onset" });
  return {
    kind: "alert",
    id,
    phase: "onset",
    event: id,
    row,
    atMs: 5,
    score: 2,
    threshold: 1,
    version: { number: 1, sha256: "a".repeat(64) },
    channels: [],
  };
}

function options(sent: Alert[], more: Partial<SpoolOptions> = {}): SpoolOptions {
  return {
    dir: join(box.dir, "spool"),
    damagedDir: join(box.dir, "damaged"),
    send: async (payload) => void sent.push(decode(Alert, payload)),
    online: () => true,
    clock: systemClock,
    random: () => 0,
    log: box.log,
    ...more,
  };
}

describe("spool", () => {
  it("gives up the oldest when it is full, and counts it", async () => {
    const spool = await openSpool(options([], { maxAlerts: 3 }));
    for (let row = 0; row < 5; row++) await spool.add(alert(row));
    expect([spool.size, spool.dropped]).toEqual([3, 2]);
    expect((await readdir(join(box.dir, "spool"))).map((name) => Number(name.slice(0, 12)))).toEqual([
      2, 3, 4,
    ]);
  });

  it("sends again until acknowledged, in order, and at once on a new connection", async () => {
    const sent: Alert[] = [];
    const spool = await openSpool(options(sent, { resend: { firstMs: 40, maxMs: 80 } }));
    for (let row = 0; row < 3; row++) await spool.add(alert(row));
    await spool.add(alert(1)); // read again after a restart
    const running = spool.run(stop.signal);
    await until(() => sent.length >= 7, "two rounds of sending");
    expect(sent.slice(0, 3).map(({ row }) => row)).toEqual([0, 1, 2]);
    await spool.acknowledged([alert(0).id, alert(2).id]);
    expect(spool.size).toBe(1);
    sent.length = 0;
    spool.connected();
    await until(() => sent.some(({ row }) => row === 1), "the alert to be sent again");
    sent.length = 0; // one that was acknowledged while it was read may have gone out before it
    await until(() => sent.length > 0, "the alert to be sent once more");
    expect(sent[0]!.row).toBe(1);
    await spool.acknowledged([alert(1).id, "unknown"]);
    expect(await readdir(join(box.dir, "spool"))).toEqual([]);
    stop.abort();
    await running;
  });

  it("goes on with what is on disk, sets damaged files aside and ignores unfinished ones", async () => {
    const before = await openSpool(options([]));
    for (let row = 0; row < 3; row++) await before.add(alert(row));
    const files = (await readdir(join(box.dir, "spool"))).sort();
    await writeFile(join(box.dir, "spool", files[1]!), "damaged");
    await writeFile(join(box.dir, "spool", "000000000009-x.alert.new"), "half");
    const sent: Alert[] = [];
    const spool = await openSpool(options(sent));
    expect(spool.size).toBe(3);
    const end = new AbortController();
    const running = spool.run(end.signal);
    await until(() => sent.length === 2 && spool.size === 2, "the two good ones");
    expect(sent.map(({ row }) => row)).toEqual([0, 2]);
    expect(await readdir(join(box.dir, "damaged"))).toEqual([files[1]]);
    end.abort();
    await running;
  });
});
