import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { alertId } from "../../agent/alert.ts";
import { backoffMs } from "../../agent/backoff.ts";
import { parseCheckpoint } from "../../agent/checkpoint.ts";
import { decideInstall, worthRetrying } from "../../agent/install-decision.ts";
import { lineReader } from "../../agent/line-reader.ts";
import { lockFolder } from "../../agent/lock.ts";
import { rateMeter } from "../../agent/rate.ts";
import { openScoresFile, readScores } from "../../agent/scores-file.ts";
import { fullBucket, takeFrom } from "../../agent/throttle.ts";
import { formOf, parseSample } from "../../models/data/sample-line.ts";
import { driftReference } from "../../models/scoring/drift.ts";
import { fitTail } from "../../models/scoring/tail.ts";
import { DetectorSpec } from "../../protocol/task.ts";
import { type Sandbox, sandbox } from "./sandbox.ts";
import { makeVersion, task } from "./scripted-coordinator.ts";

let box: Sandbox;
beforeEach(async () => {
  box = await sandbox();
});
afterEach(() => box.close());

describe("throttle", () => {
  it("never lets more through than a second's worth and the rate, whatever is taken when", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 0, max: 3000 }))),
        (takings) => {
          const rate = 1000;
          let bucket = fullBucket(rate, 0);
          let nowMs = 0;
          let total = 0;
          for (const [bytes, passedMs] of takings) {
            nowMs += passedMs;
            const taken = takeFrom(bucket, bytes, nowMs);
            bucket = taken.bucket;
            nowMs += taken.waitMs;
            total += bytes;
            expect(total).toBeLessThanOrEqual(rate + (nowMs / 1000) * rate + 1e-6);
          }
        },
      ),
    );
  });
});

describe("backoff", () => {
  it("doubles up to its ceiling and keeps to the upper half", () => {
    const times = [0, 1, 2, 3, 99].map((tries) => [
      backoffMs({ firstMs: 100, maxMs: 500 }, tries, () => 0),
      backoffMs({ firstMs: 100, maxMs: 500 }, tries, () => 1),
    ]);
    expect(times).toEqual([
      [50, 100],
      [100, 200],
      [200, 400],
      [250, 500],
      [250, 500],
    ]);
  });
});

describe("alert id", () => {
  it("is the same for the same sample and different for any other", () => {
    const key = { row: 7, atMs: 1000, score: 1.5, phase: "onset" } as const;
    expect(alertId(key)).toBe(alertId({ ...key }));
    const others = [{ row: 8 }, { atMs: 1001 }, { score: 1.5000001 }, { phase: "end" as const }];
    const ids = others.map((change) => alertId({ ...key, ...change }));
    expect(new Set([alertId(key), ...ids]).size).toBe(5);
  });
});

describe("lines", () => {
  it("are the same however the bytes are cut", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.string({ unit: "grapheme", maxLength: 12 }).map((text) => text.replaceAll("\n", " ").trim()),
        ),
        fc.array(fc.nat({ max: 200 })),
        (texts, cuts) => {
          const bytes = Buffer.from(`${texts.join("\n")}\nlast`);
          const at = [0, ...cuts.map((cut) => cut % bytes.length).sort((a, b) => a - b), bytes.length];
          const reader = lineReader(1000);
          const lines = at.slice(1).flatMap((to, i) => reader.push(bytes.subarray(at[i], to)));
          lines.push(...reader.end());
          expect(lines).toEqual(
            [...texts, ...(texts.length === 0 ? [""] : []), "last"].map((text, i) => ({
              number: i + 1,
              text,
            })),
          );
        },
      ),
    );
  });

  it("longer than allowed are named and do not fill the memory", () => {
    const reader = lineReader(10);
    expect(reader.push(Buffer.from("12345678"))).toEqual([]);
    expect(reader.push(Buffer.from("9012345"))).toEqual([]);
    expect(reader.push(Buffer.from("\nshort\n"))).toEqual([
      { number: 1, tooLong: true },
      { number: 2, text: "short" },
    ]);
  });
});

describe("samples", () => {
  it("are read as arrays and as objects, missing values as NaN", () => {
    const array = formOf("[1, null, 3.5]");
    expect([...parseSample("[2,null,1e400]", array).values]).toEqual([2, Number.NaN, Number.NaN]);
    const object = formOf('{"flow": 1, "t": 5, "heat": null}');
    expect(object).toMatchObject({ channels: 2, names: ["flow", "heat"] });
    const sample = parseSample('{"heat":2,"other":"x","t":"2024-01-01T00:00:00Z"}', object);
    expect([...sample.values]).toEqual([Number.NaN, 2]);
    expect(sample.atMs).toBe(1704067200000);
  });

  it.each([
    ["[1,2]", "2 values, not 3"],
    ["[1,2,true]", "value 3 is not a number"],
    ["nonsense", "not JSON"],
    ["5", "neither an array"],
    ['{"a":1}', "is an object"],
  ])("%s is refused with what is wrong", (text, reason) => {
    expect(() => parseSample(text, formOf("[1,2,3]"))).toThrow(reason);
  });
});

describe("scores file", () => {
  it("is read back, and cut back to the row that is scored again", async () => {
    const path = join(box.dir, "scores");
    const file = openScoresFile(path, 0);
    for (let row = 0; row < 1000; row++) if (row % 3 !== 0) file.append(row, row / 2, row > 500);
    file.close();
    expect((await readScores(path)).rows.length).toBe(666);
    await writeFile(path, Buffer.concat([await readFile(path), Buffer.from("cut")]));
    const again = openScoresFile(path, 502);
    again.append(502, 1, true);
    again.close();
    const { rows, scores, alarms } = await readScores(path);
    expect([...rows.slice(-3)]).toEqual([499, 500, 502].map((row) => (row === 500 ? 500 : row)));
    expect([...scores.slice(-2)]).toEqual([250, 1]);
    expect([...alarms.slice(-2)]).toEqual([0, 1]);
  });
});

describe("lock", () => {
  it("holds a folder until it is released; what a dead process left holds nothing", async () => {
    const lock = await lockFolder(box.dir);
    await expect(lockFolder(box.dir)).rejects.toMatchObject({ code: "LOCKED" });
    const holder = await readFile(join(box.dir, "lock"), "utf8");
    await lock.release();
    // The same pid, started at another time: a container's process 1 after a restart.
    const [pid, , boot] = holder.split(" ");
    for (const left of ["", "999999999 1 x", `${pid} 1 ${boot}`]) {
      await writeFile(join(box.dir, "lock"), left);
      await (await lockFolder(box.dir)).release();
    }
  });
});

describe("what to install", () => {
  it("is only a higher number of the task, or the same with other settings", async () => {
    const { manifest } = await makeVersion(5);
    const { detector, alarm, id } = task;
    const wanted = { manifest, task: id, detector, alarm, personal: true };
    const now = {
      task: id,
      number: 5,
      sha256: manifest.transfer.sha256,
      detector,
      alarm,
      calibration: {
        ...{
          sigma: [],
          scalerMean: [],
          scalerSigma: [],
          levels: [],
          threshold: 1,
          rows: 1,
          basis: "rule" as const,
        },
        tail: fitTail(Float64Array.of(1, 2)),
        drift: driftReference(Float64Array.of(1, 2)),
      },
    };
    const other = { ...now, sha256: "0".repeat(64) };
    expect(decideInstall(wanted, undefined).kind).toBe("install");
    expect(decideInstall(wanted, now).kind).toBe("nothing");
    const losses = { fleet: 2, tuned: 1, own: 3 };
    const chosen = { model: "tuned" as const, losses, weights: "1".repeat(64) };
    expect(decideInstall(wanted, { ...now, personal: chosen }).kind).toBe("nothing");
    // Models of a device's own are no longer wanted: the fleet's comes back, where it does not score anyway.
    const plain = { ...wanted, personal: false };
    expect(decideInstall(plain, { ...now, personal: chosen }).kind).toBe("install");
    const fleets = { ...chosen, model: "fleet" as const, weights: null };
    expect(decideInstall(plain, { ...now, personal: fleets }).kind).toBe("nothing");
    expect(decideInstall({ ...wanted, alarm: { ...alarm, k: 1 } }, now).kind).toBe("install");
    expect(
      decideInstall({ ...wanted, detector: DetectorSpec.parse({ ...detector, clip: 3 }) }, now).kind,
    ).toBe("install");
    expect(decideInstall(wanted, { ...other, number: 4 }).kind).toBe("install");
    expect(decideInstall(wanted, other).kind).toBe("refuse");
    expect(decideInstall(wanted, { ...other, number: 6 }).kind).toBe("refuse");
    expect(decideInstall(wanted, { ...other, number: 9, task: "other" }).kind).toBe("install");
    expect(decideInstall({ ...wanted, task: "other" }, undefined).kind).toBe("refuse");
    expect(["BAD_SIGNATURE", "BAD_SHAPE"].some(worthRetrying)).toBe(false);
    expect(["UNAVAILABLE", "BAD_HASH", "CORRUPT"].every(worthRetrying)).toBe(true);
  });
});

describe("rate", () => {
  const measured = (times: readonly number[]) => {
    const meter = rateMeter();
    for (const ms of times) meter.see(ms);
    return meter.hz();
  };
  const every = (ms: number, rows: number, from = 0) => Array.from({ length: rows }, (_, i) => from + i * ms);

  it("is measured by the rows' times, whatever an outage or a wrong clock says between", () => {
    expect(measured(every(10_000, 20))).toBeUndefined();
    expect(measured(every(10_000, 40))).toBe(0.1);
    expect(measured([...every(10_000, 300), ...every(10_000, 40, 1e12), ...every(10_000, 40)])).toBe(0.1);
    expect(measured(every(0, 100))).toBeUndefined();
  });

  it("of rows that come in groups with one time is rows over time", () => {
    const groups = every(5000, 60).flatMap((ms) => [ms, ms, ms, ms, ms]);
    expect(measured(groups)).toBeCloseTo(1, 1);
  });
});

describe("checkpoint", () => {
  it("of an agent that knew less keeps its place; the version is installed anew", () => {
    const older = {
      ...{
        form: 1,
        source: "stdin",
        startedMs: 5,
        row: 70,
        scored: 60,
        scorer: "AAAA",
        onset: null,
        raised: [],
      },
      installed: { task: "main", number: 1, calibration: { threshold: 1 } },
      alarm: { recent: [], open: { since: 3 } },
    };
    expect(parseCheckpoint(Buffer.from(JSON.stringify(older)))).toMatchObject({
      ...{ row: 70, scored: 60, installed: null, alarm: null, watch: null },
    });
    expect(() => parseCheckpoint(Buffer.from(JSON.stringify({ ...older, row: -1 })))).toThrow(
      expect.objectContaining({ code: "CORRUPT" }),
    );
  });
});
