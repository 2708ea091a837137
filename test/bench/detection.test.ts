import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { judgePeer } from "../../bench/detection/judge-peer.ts";
import { writeRows } from "../../bench/detection/peers.ts";
import type { DataSet, DeviceData } from "../../models/data/device-set.ts";
import { readNpy } from "../../models/data/npy.ts";
import type { Series } from "../../models/data/series.ts";
import { createRandom } from "../../models/engine/random.ts";
import { AlarmSpec, DetectorSpec } from "../../protocol/task.ts";

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

const rowsOf = (values: readonly number[], channels = 1): Series => ({
  values: Float32Array.from(values),
  rows: values.length / channels,
  channels,
  names: Array.from({ length: channels }, (_, c) => `c${c}`),
});

/** 300 held-back rows, then 400 test rows of which 200..239 are anomalous and score `high`. */
function peerOf({ seed, high, usual }: { seed: number; high: number; usual: (draw: number) => number }) {
  const random = createRandom(seed).uniform;
  const heldBack = Float32Array.from({ length: 300 }, () => usual(random()));
  const labels = Uint8Array.from({ length: 400 }, (_, i) => Number(i >= 200 && i < 240));
  const test = Float32Array.from(labels, (label) => (label === 1 ? high : usual(random())));
  const data: DeviceData = { train: rowsOf([0]), test: rowsOf([...test]), labels, notes: [] };
  return { device: `device-${seed}`, data, heldBack, test };
}

const set = (judging: DataSet["judging"]): DataSet => ({
  name: "made",
  title: "made",
  kind: "series",
  judging,
  devices: [],
  rateHz: 1 / 60,
  readBy: "a test",
});

const judge = (
  peers: Parameters<typeof judgePeer>[0],
  { judging = "device", span = 1 }: { judging?: DataSet["judging"]; span?: number } = {},
) =>
  judgePeer(peers, {
    set: set(judging),
    detector: "peer",
    seed: 1,
    span,
    alarm: AlarmSpec.parse({}),
    vus: { window: 20, thresholds: 100 },
  });

describe("judging a peer", () => {
  it("scores that tell all anomalous rows apart find the event without a false alarm, with a line a device and their mean", () => {
    const peers = [1, 2].map((seed) => peerOf({ seed, high: 50, usual: (draw) => draw }));
    const rows = judge(peers);
    expect(rows.map(({ device }) => device)).toEqual(["device-1", "device-2", "macro"]);
    for (const { arm, evaluation } of rows) {
      expect(arm).toBe("local");
      expect(evaluation).toMatchObject({ auroc: 1, aucPr: 1, eventRecall: 1, eventPrecision: 1, f1: 1 });
      expect(evaluation.falseAlarmsPerDay).toBe(0);
    }
  });

  it.each(["device", "pooled"] as const)(
    "judged by %s, where a peer has its zero changes nothing",
    (judging) => {
      const usual = (draw: number) => 1 + draw;
      const at = (zero: number) =>
        [1, 2].map((seed) => peerOf({ seed, high: zero + 1.98, usual: (draw) => zero + usual(draw) - 1 }));
      const [near, far] = [judge(at(0), { judging }), judge(at(-8), { judging })];
      for (const [i, { evaluation }] of near.entries()) {
        expect(far[i]!.evaluation.auroc).toBeCloseTo(evaluation.auroc, 3);
        expect(far[i]!.evaluation.f1).toBeCloseTo(evaluation.f1, 3);
      }
    },
  );

  it("the moving average is of the past alone: held-back rows reach into the first test rows, and a lone spike is spread over ten", () => {
    const peer = peerOf({ seed: 1, high: 0, usual: () => 0 });
    peer.heldBack[299] = 100;
    const labels = Uint8Array.from({ length: 400 }, (_, i) => Number(i < 9));
    const spiked = { ...peer, data: { ...peer.data, labels } };
    expect(judge([spiked], { span: 10 })[0]!.evaluation.auroc).toBe(1);
    expect(judge([spiked])[0]!.evaluation.auroc).toBe(0.5);
  });
});

describe("rows for a peer", () => {
  it("are cut, scaled and filled as our detectors have them: the first 80 % to fit on, by whose mean and deviation all are scaled", async () => {
    const folder = await mkdtemp(join(tmpdir(), "starling-peers-"));
    folders.push(folder);
    const train = Array.from({ length: 400 }, (_, i) => (i < 320 ? 5 + 2 * (-1) ** i : 9));
    const data: DeviceData = { train: rowsOf(train), test: rowsOf([7, Number.NaN, 3, 1000]), notes: [] };
    await writeRows(folder, { device: "one", data }, DetectorSpec.parse({}));
    const part = async (name: string) => readNpy(join(folder, "one", `${name}.npy`));
    const fit = await part("fit");
    expect(fit.shape).toEqual([320, 1]);
    expect([...fit.values.subarray(0, 2)]).toEqual([1, -1]);
    expect((await part("held")).shape).toEqual([80, 1]);
    expect((await part("held")).values[0]).toBe(2);
    // Missing is the last value, and nothing is further out than the clip.
    expect([...(await part("test")).values]).toEqual([1, 1, -1, 100]);
  });
});
