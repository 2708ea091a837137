import { expect, test } from "vitest";
import { alertsTable, fleetNotes, fleetTable } from "../../cli/commands/status.ts";
import { AlertView, DeviceView } from "../../protocol/api.ts";
import type { Heartbeat } from "../../protocol/messages.ts";
import { alert, device } from "../coordinator/http/fake-view.ts";

const zero = { bootSeq: 1, uptimeMs: 0, rssBytes: 0, peakRssBytes: 0, cpuMs: 0, rows: 0, scored: 0 };

function said(id: string, more: Pick<Heartbeat, "level" | "drift" | "personal" | "oddChannels">): DeviceView {
  const rest = { running: null, activity: "idle", sourceEnded: false, spooledAlerts: 0, scores: null };
  return DeviceView.parse({ ...device(id), heartbeat: { ...zero, ...rest, ...more } });
}

const level = { threshold: 3.25, installed: 3.25, basis: "rule", recalibrations: 0, limited: false } as const;

test("status - shows each device's threshold and drift, and nothing for an agent that does not say them", () => {
  const fleet = [device("old"), said("new", { level, drift: { state: "drifting", index: 0.3 } })];
  const [head, , old, now] = fleetTable(fleet).split("\n");
  expect(head).toMatch(/threshold {2}drift/);
  expect(now).toMatch(/3\.25 {2}drifting/);
  expect(old).not.toMatch(/stable|drifting|\d\.\d/);
  expect(fleetNotes(fleet)).toEqual([]);
});

test("status - says in words which devices need a person", () => {
  const stable = { state: "stable", index: 0 } as const;
  const notes = fleetNotes([
    said("a", { level, drift: { state: "retrain-due", index: 1 } }),
    said("b", { level: { ...level, basis: "extrapolated" }, drift: stable }),
    said("c", { level: { ...level, basis: "highest", recalibrations: 2 }, drift: stable }),
    said("d", { level: { ...level, basis: "fallback", recalibrations: 1, limited: true }, drift: stable }),
    said("e", { level, drift: { state: "retrain-due", index: 1 } }),
  ]);
  expect(notes).toEqual([
    "",
    "a, e: retraining is due",
    "d: fitted its threshold again to drifting scores, as far as it may",
    "c: fitted its threshold again to drifting scores",
    "b: the alarm budget is less than its data can show, so the threshold is extrapolated",
    "c: its data are too few for the alarm budget: the highest normal score stands in",
    "d: the alarm settings can't be met, so the rule auto stands in: its log says why",
  ]);
});

test("status - names a device's channel that looks like another unit, and one without a name by its number", () => {
  const what = "looks like another unit: 100,000 times what it was";
  const oddChannels = [
    { channel: 2, name: "pressure", state: "another-unit", what } as const,
    { channel: 3, state: "silent", what: "has no values any more" } as const,
  ];
  expect(fleetNotes([said("a", { oddChannels }), said("b", { oddChannels: [] })])).toEqual([
    "",
    `a: channel pressure ${what}`,
    "a: channel 3 has no values any more",
  ]);
});

test("status - says which device can't take part, and why", () => {
  const barred = DeviceView.parse({ ...device("a"), problem: "channel 1\nis odd" });
  expect(fleetNotes([barred, device("b")])).toEqual(["", "a can't take part: channel 1?is odd"]);
});

test("status - of tasks with personal models, says which one scores and how much better it is than the fleet's, and who could make none", () => {
  const losses = { fleet: 0.5, tuned: 0.4, own: 0.6 };
  const fleet = [
    said("a", { personal: { model: "tuned", losses } }),
    said("b", { personal: { model: "fleet", losses: { fleet: 0.5, tuned: null, own: 0.6 } } }),
    said("c", { personal: { model: "fleet", losses: null, problem: "UNAVAILABLE: the thread ended" } }),
    said("d", { personal: null }),
  ];
  const [head, , ...rows] = fleetTable(fleet).split("\n");
  expect(head).toMatch(/version {2}model {2}error\/fleet's {2}rows/);
  expect(rows.map((row) => row.split(/ {2,}/).slice(3, 5))).toEqual([
    ["tuned", "0.905"],
    ["fleet", "1.000"],
    ["fleet", "-"],
    ["-", "-"],
  ]);
  expect(fleetNotes(fleet)).toEqual([
    "",
    "c: could make no model of its own, so the fleet's scores: its log says why",
  ]);
  expect(fleetTable([said("a", {})])).not.toMatch(/model|loss/);
});

test("status - an alert shows how often a normal score is as high", () => {
  const rare = AlertView.parse({ ...alert(1, "pump-1"), probability: 0.000_032 });
  const [head, , row, older] = alertsTable([rare, alert(2, "pump-2")]).split("\n");
  expect(head).toContain("chance");
  expect(row).toContain(" 3e-5 ");
  expect(older).not.toContain("e-");
});
