import { describe, expect, it } from "vitest";
import { type Judged, judge, judgeRandom, macro, metricsTable } from "../../cli/demo/report.ts";
import { alertLine, roundLine } from "../../cli/demo/screen.ts";
import { jsonLog } from "../../cli/log.ts";
import { table } from "../../cli/table.ts";
import { painter } from "../../cli/terminal.ts";
import type { AlertView, RoundView } from "../../protocol/api.ts";

/** Ten rows; rows 4 and 5 are anomalous, rows 0 and 1 got no score. */
const judged: Judged = {
  device: "pump-1",
  rows: Float64Array.of(2, 3, 4, 5, 6, 7, 8, 9),
  scores: Float32Array.of(1, 1, 5, 6, 1, 1, 1, 3),
  alarms: Uint8Array.of(0, 0, 1, 1, 1, 0, 0, 1),
  labels: Uint8Array.of(0, 0, 0, 0, 1, 1, 0, 0, 0, 0),
  threshold: 2,
  rateHz: 1 / 8640,
};

describe("report", () => {
  it("judges a device by its own scores and alarms", () => {
    const metrics = judge(judged);
    expect(metrics).toMatchObject({
      device: "pump-1",
      auroc: 1,
      aucPr: 1,
      events: 1,
      alarms: 2,
      eventRecall: 1,
    });
    // Rows 4, 5 and 9 are over the threshold: precision 2/3, recall 1.
    expect(metrics.f1).toBeCloseTo(0.8, 10);
    expect(metrics.falseAlarmRate).toBeCloseTo(1 / 8, 10);
    // One false alarm in 8 normal rows, at 10 rows a day.
    expect(metrics.falseAlarmsPerDay).toBeCloseTo(1 / 0.8, 10);
  });

  it("takes the open alarms where the threshold was never told, and says null for what can't be known", () => {
    const metrics = judge({ ...judged, threshold: undefined, rateHz: undefined });
    // Rows 4, 5, 6 and 9 were alarmed: precision 1/2, recall 1.
    expect(metrics.f1).toBeCloseTo(2 / 3, 10);
    expect(metrics.falseAlarmsPerDay).toBeNull();
    const healthy = judge({ ...judged, labels: new Uint8Array(10) });
    expect(healthy).toMatchObject({ auroc: null, aucPr: null, eventRecall: null });
  });

  it("averages over the devices that have a figure", () => {
    const mean = macro([judge(judged), { ...judge(judged), auroc: null, aucPr: 0.5 }]);
    expect(mean.auroc).toBe(1);
    expect(mean.aucPr).toBe(0.75);
    expect(macro([]).auroc).toBeNull();
  });

  it("shows every device, the mean and what guessing gets", () => {
    const perDevice = [judge(judged)];
    const text = metricsTable({ macro: macro(perDevice), random: judgeRandom([judged], 1), perDevice });
    const lines = text.split("\n");
    expect(lines[0]).toMatch(
      /^device +AUROC +AUC-PR +F1 fixed +false alarms\/day +event recall +events +alarms$/,
    );
    expect(lines[2]).toMatch(/^pump-1 +1\.000 +1\.000 +0\.800 +1\.25 +1\.00 +1 +2$/);
    expect(lines[4]).toMatch(/^mean /);
    expect(lines[5]).toMatch(/^random +\d\.\d{3} /);
  });

  it("sets numbers right, words left, and a dash for nothing", () => {
    const rows = [
      { name: "a", n: 1 },
      { name: "long name", n: undefined },
    ];
    const text = table(
      [
        { title: "name", value: (row) => row.name },
        { title: "count", value: (row) => row.n, digits: 1 },
      ],
      rows,
    );
    expect(text).toBe("name       count\n---------  -----\na            1.0\nlong name      -");
  });
});

describe("lines", () => {
  const paint = painter(false);
  const round: RoundView = {
    task: "main",
    round: 2,
    phase: "closed",
    base: "0".repeat(64),
    openedMs: 1_000,
    closedMs: 3_500,
    invited: ["a", "b", "c"],
    accepted: ["a", "b"],
    declined: [],
    late: ["c"],
    loss: 0.123456,
    heldBackLoss: null,
    samples: 100,
    trainMs: 10,
    aggregateMs: 1,
    version: null,
    reason: null,
  };

  it("say how a round went, and why it did not", () => {
    expect(roundLine(round, 10, paint)).toBe(
      "round  2 of 10  invited 3  accepted 2  loss 0.12346  2.5 s  closed without c",
    );
    const aborted: RoundView = { ...round, phase: "aborted", reason: "too few updates" };
    expect(roundLine(aborted, 10, paint)).toBe("round 2 of 10 was aborted: too few updates");
    const declined = [{ device: "c", code: "UNAVAILABLE" }];
    expect(roundLine({ ...aborted, declined }, 10, paint)).toBe(
      "round 2 of 10 was aborted: too few updates (c: UNAVAILABLE)",
    );
  });

  it("say which device is alarmed, since when, how strongly and by what", () => {
    const alert: AlertView = {
      id: "0".repeat(16),
      event: "0".repeat(16),
      phase: "onset",
      row: 7,
      atMs: Date.UTC(2026, 0, 5, 6, 1, 2),
      score: 6,
      threshold: 2,
      version: { number: 1, sha256: "0".repeat(64) },
      channels: [
        { channel: 0, name: "flow", share: 0.61 },
        { channel: 3, share: 0.2 },
      ],
      device: "pump-1",
      receivedMs: 0,
      seq: 1,
    };
    expect(alertLine(alert, paint)).toBe(
      "alert     pump-1  2026-01-05 06:01:02  3.0 x threshold  flow 61 %, c4 20 %",
    );
    const hostile = { ...alert, channels: [{ channel: 0, name: "\u001b[2Jflow\n", share: 1 }] };
    expect(alertLine(hostile, paint)).toMatch(/ {2}\?\[2Jflow\? 100 %$/);
    expect(alertLine({ ...alert, phase: "end", durationRows: 12 }, paint)).toMatch(/after 12 rows$/);
  });

  it("of a log are one JSON object each, errors with their stack", () => {
    const lines: string[] = [];
    const log = jsonLog(
      (line) => lines.push(line),
      "info",
      () => 5,
    );
    log.debug({}, "not shown");
    log.info({ round: 1 }, "shown");
    log.error({ err: new TypeError("broken") }, "failed");
    expect(JSON.parse(lines[0]!)).toEqual({ level: 30, time: 5, round: 1, msg: "shown" });
    expect(JSON.parse(lines[1]!)).toMatchObject({ level: 50, err: { type: "TypeError", message: "broken" } });
    expect(lines).toHaveLength(2);
  });
});
