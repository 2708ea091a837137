import { join } from "node:path";
import { expect, test } from "vitest";
import { readFolder } from "../../../models/data/folder.ts";
import { PLANT_RATE_HZ, plantStation, writePlant } from "../../../models/data/plant.ts";
import { PLANT_CHANNELS } from "../../../models/data/plant-design.ts";
import { readLabels, readSeries } from "../../../models/data/read.ts";
import { fitScaler, scaleSeries } from "../../../models/data/scaling.ts";
import { seriesStatistics } from "../../../models/data/statistics.ts";
import { alarmSpans } from "../../../models/evaluation/alarms.ts";
import { auroc } from "../../../models/evaluation/ranking.ts";
import { fitThreshold } from "../../../models/scoring/threshold.ts";
import { temporaryFolder } from "./temp-folder.ts";

const SIZE = { trainRows: 8000, testRows: 8000 };
const stations = [1, 2, 3, 4, 5, 6].map((station) => plantStation({ seed: 1, station, ...SIZE }));

test("plant - the same seed gives the same station, another seed or number another one", () => {
  const again = plantStation({ seed: 1, station: 1, ...SIZE });
  expect(again).toEqual(stations[0]);
  expect(plantStation({ seed: 2, station: 1, ...SIZE }).train.values).not.toEqual(again.train.values);
  expect(stations[1]?.train.values).not.toEqual(again.train.values);
});

test("plant - every value is finite and within what the machine can do", () => {
  for (const { train, test: faulty } of stations) {
    expect([train.rows, faulty.rows, train.channels]).toEqual([8000, 8000, PLANT_CHANNELS.length]);
    expect(train.rateHz).toBe(PLANT_RATE_HZ);
    expect(faulty.timestampsMs?.[0]).toBe(train.timestampsMs!.at(-1)! + 10_000);
    for (const { values } of [train, faulty]) expect(values.every((v) => v >= 0 && v < 1000)).toBe(true);
    const valve = train.values.filter((_, i) => i % 6 === 5);
    expect(Math.max(...valve)).toBeLessThanOrEqual(101.5);
  }
});

test("plant - stations are non-identical: their mean flow and pressure differ by far more than their spread", () => {
  for (const c of [0, 1]) {
    const means = stations.map(({ train }) => seriesStatistics(train).mean[c]!);
    expect(Math.max(...means) / Math.min(...means)).toBeGreaterThan(1.3);
  }
});

test("plant - channels are tied by the physics: current follows flow, temperature follows current slowly", () => {
  for (const { train } of stations) {
    const z = scaleSeries(fitScaler(seriesStatistics(train)), train.values, { fill: true });
    const correlation = (a: number, b: number) => {
      let sum = 0;
      for (let row = 0; row < train.rows; row++) sum += z[row * 6 + a]! * z[row * 6 + b]!;
      return sum / train.rows;
    };
    expect(correlation(0, 2)).toBeGreaterThan(0.9);
    expect(correlation(2, 3)).toBeGreaterThan(0.5);
    expect(correlation(2, 3)).toBeLessThan(0.98);
  }
});

test("plant - faults of different kinds, apart from each other, labelled exactly; all five kinds in the fleet", () => {
  const kinds = new Set<string>();
  for (const { events, labels } of stations) {
    expect(events.length).toBe(4);
    expect(new Set(events.map((e) => e.kind)).size).toBe(4);
    const expected = new Uint8Array(8000);
    let end = 0;
    for (const { from, to, kind, channels } of events) {
      expect(from - end).toBeGreaterThan(60);
      expect(channels.length).toBeGreaterThan(0);
      expected.fill(1, from, to);
      kinds.add(kind);
      end = to;
    }
    expect(labels).toEqual(expected);
    expect(end).toBeLessThan(8000);
  }
  expect(kinds.size).toBe(5);
});

test("plant - a fault changes nothing before it", () => {
  // More test rows move the faults, and the rows before the earliest fault of both stay the same.
  const [short, long] = [
    plantStation({ seed: 1, station: 1, trainRows: 500, testRows: 2000 }),
    plantStation({ seed: 1, station: 1, trainRows: 500, testRows: 4000 }),
  ];
  const first = Math.min(short.events[0]!.from, long.events[0]!.from);
  expect(short.train.values).toEqual(long.train.values);
  expect(short.test.values.subarray(0, first * 6)).toEqual(long.test.values.subarray(0, first * 6));
});

test("plant - a frozen sensor repeats itself, and the others do not", () => {
  for (const { test: faulty, events } of stations) {
    for (const { from, to, channels } of events.filter(({ kind }) => kind === "frozen-sensor")) {
      const c = PLANT_CHANNELS.indexOf(channels[0]!);
      for (let row = from + 1; row < to; row++) {
        expect(faulty.values[row * 6 + c]).toBe(faulty.values[from * 6 + c]);
        expect(faulty.values[row * 6 + ((c + 1) % 3)]).not.toBe(faulty.values[(row - 1) * 6 + ((c + 1) % 3)]);
      }
    }
  }
});

test("plant - a fixed limit per channel misses most faults: they must be found by how channels go together", () => {
  let found = 0;
  let all = 0;
  for (const { train, test: faulty, labels, events } of stations) {
    const scaler = fitScaler(seriesStatistics(train));
    const limit = (values: Float32Array, rows: number) => {
      const z = scaleSeries(scaler, values, { fill: true });
      return Float64Array.from({ length: rows }, (_, r) =>
        Math.max(...z.subarray(r * 6, r * 6 + 6).map(Math.abs)),
      );
    };
    const scores = limit(faulty.values, faulty.rows);
    expect(auroc(scores, labels)).toBeLessThan(0.85);
    const alarms = alarmSpans(scores, { threshold: fitThreshold(limit(train.values, train.rows)) });
    found += events.filter(({ from, to }) =>
      alarms.some((alarm) => alarm.from < to && from < alarm.to),
    ).length;
    all += events.length;
  }
  expect(found / all).toBeLessThan(0.5);
});

test("plant - few rows give few faults, and impossible sizes are said", () => {
  expect(plantStation({ seed: 1, station: 1, trainRows: 10, testRows: 400 }).events).toEqual([]);
  expect(plantStation({ seed: 1, station: 1, trainRows: 10, testRows: 1200 }).events.length).toBe(2);
  expect(() => plantStation({ seed: 1, station: 0, ...SIZE })).toThrow(
    "station 0 of the built-in plant must be a whole number above 0",
  );
});

test("plant - written as a folder it reads back as the same series, names, rate and labels", async () => {
  const folder = join(temporaryFolder(), "plant");
  const options = { seed: 3, trainRows: 300, testRows: 1200 };
  const written = await writePlant(folder, { ...options, stations: 2 });
  const devices = await readFolder(folder);
  expect(devices.map(({ device }) => device)).toEqual(["pump-01", "pump-02"]);
  const direct = plantStation({ ...options, station: 2 });
  expect(await readSeries(devices[1]!.train)).toEqual(direct.train);
  expect(await readSeries(devices[1]!.test)).toEqual(direct.test);
  expect(await readLabels(devices[1]!.label!)).toEqual(direct.labels);
  expect(written[1]?.events).toEqual(direct.events);
});
