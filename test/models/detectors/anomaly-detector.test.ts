import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import type { DeviceData } from "../../../models/data/device-set.ts";
import { channelNames } from "../../../models/data/series.ts";
import { createRandom } from "../../../models/engine/random.ts";
import { run } from "../../../models/evaluation/run.ts";
import type { Scored } from "../../../models/evaluation/scored.ts";
import {
  type AnomalyDetector,
  blueprintFor,
  createDetector,
  type DetectorName,
  detectorNames,
  type FlatRows,
  kindOf,
  loadDetector,
} from "../../../models/index.ts";
import { AlarmSpec, DetectorSpec, TrainingSpec } from "../../../protocol/task.ts";
import { onePixel } from "./waves.ts";

const channels = 3;

/** Three sine waves with noise; channel 1 carries a fault in rows 300..339. */
function waves(rows: number, seed: number, fault = 0): FlatRows {
  const random = createRandom(seed);
  const values = Float32Array.from({ length: rows * channels }, (_, i) => {
    const row = Math.floor(i / channels);
    const off = row >= 300 && row < 340 && i % channels === 1 ? fault : 0;
    return 20 + 5 * (Math.sin(row / 6 + (i % channels)) + 0.05 * random.normal() + off);
  });
  return { values, rows, channels };
}

const settings = { window: 16, stride: 4, adaptRows: 200, epochs: 4, learningRate: 0.01, seed: 3 };
const normal = waves(2000, 1);
const test = waves(600, 9, 2);
const names = ["temperature", "pressure", "flow"];

const lists = ({ values, rows }: FlatRows) =>
  Array.from({ length: rows }, (_, i) => [...values.subarray(i * channels, (i + 1) * channels)]);

const series = (await Promise.all(detectorNames.map(async (name) => ({ name, kind: await kindOf(name) }))))
  // A network of one's own has its own test below.
  .filter(({ name, kind }) => kind.input === "series" && !kind.supervised && name !== "layers-model")
  .map(({ name }) => name);

let fitted: AnomalyDetector;
beforeAll(async () => {
  fitted = await createDetector("cnn-forecaster", settings);
  await fitted.fit(normal, { names });
});

describe("anomaly detector", () => {
  it.each(series)(
    "%s - finds a fault, says when and in which channel, and the same after save and load",
    async (name) => {
      const detector = await createDetector(name, { ...settings, options: onePixel(name) });
      const report = await detector.fit(normal, { names });
      expect(report.samples).toBeGreaterThan(100);
      expect(Number.isFinite(report.heldBackLoss)).toBe(true);
      const { scores, labels, events } = detector.detect(test, { before: normal });
      const hit = events.find(({ onset, end }) => onset < 340 && end > 300)!;
      expect(hit.onset).toBeGreaterThanOrEqual(300);
      expect(hit.peak.score).toBeGreaterThan(detector.threshold);
      expect(scores[hit.peak.row]).toBe(hit.peak.score);
      expect(labels[hit.onset]).toBe(1);
      expect(labels[hit.onset - 1]).toBe(0);
      if (hit.channels.length > 0) expect(hit.channels.map(({ name }) => name)).toContain("pressure");
      else expect(() => detector.explain(test, 300)).toThrow(/judges a row as a whole/);

      const copy = await loadDetector(detector.save());
      expect(copy.channels).toEqual(names);
      expect(copy.threshold).toBe(detector.threshold);
      expect(copy.detect(test, { before: normal })).toEqual({ scores, labels, events });
      expect(copy.save()).toEqual(detector.save());
      detector.dispose();
      copy.dispose();
    },
  );

  it.each(series)("%s - gives the scores and the threshold of an evaluation's local arm", async (name) => {
    const train = { ...normal, values: normal.values as Float32Array, names: channelNames(channels) };
    const data = { train, test: { ...test, names: train.names }, notes: [] } as unknown as DeviceData;
    // An arm draws the order of its batches from a number made of the seed; of 0 it is 0, as in a fit.
    const detector = await createDetector(name, { ...settings, options: onePixel(name), seed: 0 });
    await detector.fit(normal);
    const { options, alarm, window, stride, adaptRows, clip, heldBack, seed } = detector.settings;
    const { epochs, batchSize, learningRate, optimizer, clipNorm } = detector.settings;
    let scored: Scored | undefined;
    await run({
      set: {
        name: "waves",
        title: "waves",
        kind: "series",
        judging: "device",
        readBy: "a test",
        devices: [{ device: "one", judged: true, load: () => Promise.resolve(data) }],
      },
      detector: DetectorSpec.parse({ name, options, window, stride, adaptRows, clip, heldBack }),
      training: TrainingSpec.parse({ epochs, batchSize, learningRate, optimizer, clipNorm }),
      alarm: AlarmSpec.parse(alarm),
      rounds: 1,
      arms: ["local"],
      seed,
      onScores: (one) => {
        scored = one;
      },
    });
    expect(detector.score(test, { before: normal })).toEqual(scored!.scores);
    expect(detector.threshold).toBe(scored!.threshold);
    detector.dispose();
  });

  it("a stream and a batch give the same scores, alarms and probabilities, whatever comes before", () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.integer({ min: 0, max: 400 }),
        fc.double({ min: 0, max: 0.3, noNaN: true }),
        (seed, rows, missing) => {
          const x = waves(420, seed, 1.5);
          const random = createRandom(seed, 1);
          for (let i = 0; i < x.values.length; i++) if (random.uniform() < missing) x.values[i] = Number.NaN;
          const before = rows === 0 ? {} : { before: waves(rows, seed + 1) };
          const { scores, events } = fitted.detect(x, before);
          const stream = fitted.stream(before);
          const streamed = lists(x).map((row) => stream.push(row));
          expect(Float64Array.from(streamed, ({ score }) => score)).toEqual(scores);
          expect(Float64Array.from(streamed, ({ probability }) => probability)).toEqual(
            fitted.probability(x, before),
          );
          expect(fitted.score(lists(x), before)).toEqual(scores);
          const raised = streamed.flatMap(({ alarm }, row) => (alarm === "onset" ? [row] : []));
          expect(raised).toEqual(events.map(({ raised }) => raised));
          const ends = streamed.filter(({ alarm }) => alarm === "end");
          expect(ends.map((end) => end.channels)).toEqual(
            events.filter((e) => !e.open).map((e) => e.channels),
          );
        },
      ),
      { numRuns: 15 },
    );
  });

  it("records and images stand alone: no order matters, and each over the threshold is an alarm", async () => {
    const random = createRandom(5);
    const rows = (count: number, width: number) =>
      Array.from({ length: count }, () => {
        const bright = random.uniform();
        return Array.from(
          { length: width },
          (_, c) => 0.5 + 0.4 * bright * Math.sin(c) + 0.02 * random.normal(),
        );
      });
    for (const [name, width] of [
      ["mlp-autoencoder", 6],
      ["cnn2d-autoencoder", 64],
    ] as const) {
      const detector = await createDetector(name, { epochs: 10, seed: 1, learningRate: 0.01 });
      await detector.fit(rows(600, width));
      const x = rows(40, width);
      x[20] = x[20]!.map((value, c) => (c === 2 ? 5 : value));
      const { scores, events } = detector.detect(x);
      expect(events.find(({ onset }) => onset === 20)).toMatchObject({ end: 21, raised: 20, open: false });
      expect(detector.explain(x, 20)[0]!.channel).toBe(2);
      expect([...detector.score(x.toReversed())]).toEqual([...scores].reverse());
      const copy = await loadDetector(detector.save());
      expect(copy.score(x)).toEqual(scores);
      for (const one of [detector, copy]) one.dispose();
    }
  });

  it("an alarm budget sets the threshold, by the rate of the settings or of the rows, and without one says so", async () => {
    const levelOf = async (rows: FlatRows, alarm: object) => {
      const detector = await createDetector("var", { ...settings, alarm });
      const { caution } = await detector.fit(rows);
      const { threshold } = detector;
      detector.dispose();
      return { caution, threshold };
    };
    const budget = "1 per minute";
    const without = await levelOf(normal, {});
    expect(without.caution).toBeUndefined();
    const unknown = await levelOf(normal, { budget });
    expect(unknown.caution).toMatch(/needs the rows per second/);
    expect(unknown.threshold).toBe(without.threshold);
    const told = await levelOf(normal, { budget, rateHz: 1 });
    expect(told.threshold).not.toBe(without.threshold);
    expect(await levelOf({ ...normal, rateHz: 1 }, { budget })).toEqual(told);
    expect((await levelOf(normal, { budget: "1 per day", rateHz: 1 })).threshold).toBeGreaterThan(
      told.threshold,
    );
    await expect(createDetector("var", { alarm: { budget: "often" } })).rejects.toThrow(
      /"often" can't be read/,
    );
  });

  it("takes a network of one's own by its topology, and keeps it", async () => {
    const lent = await blueprintFor(DetectorSpec.parse({ name: "cnn-forecaster", window: 16 }), channels);
    const detector = await createDetector("layers-model", { ...settings, topology: JSON.stringify(lent) });
    await detector.fit(normal);
    const { scores, events } = detector.detect(test, { before: normal });
    expect(events.some(({ onset, end }) => onset < 340 && end > 300)).toBe(true);
    const copy = await loadDetector(detector.save());
    expect(copy.score(test, { before: normal })).toEqual(scores);
    for (const one of [detector, copy]) one.dispose();
    const none = await createDetector("layers-model", settings);
    await expect(none.fit(normal)).rejects.toThrow(/layers-model needs a network/);
  });

  it("a supervised kind learns from the labels that fit is given, and says what it lacks without them", async () => {
    const labels = new Uint8Array(2000);
    const x = { ...normal, values: normal.values.slice() };
    for (let row = 0; row < 1900; row++) {
      if (row % 100 < 80) continue;
      labels[row] = 1;
      x.values[row * channels + 1]! += 8;
    }
    const detector = await createDetector("cnn-classifier", { ...settings, epochs: 8 });
    await expect(detector.fit(x)).rejects.toMatchObject({ code: "BAD_INPUT" });
    await detector.fit(x, { labels });
    const { events } = detector.detect(test, { before: normal });
    expect(events.some(({ onset, end }) => onset < 340 && end > 300)).toBe(true);
    expect(() => detector.explain(test, 300)).toThrow(/judges a row as a whole/);
    expect((await loadDetector(detector.save())).score(test)).toEqual(detector.score(test));
    detector.dispose();
  });

  it("explain ranks the channels of an event as the alarm does, and of a row by its own score", () => {
    const options = { before: normal };
    const { events } = fitted.detect(test, options);
    const hit = events.find(({ onset, end }) => onset < 340 && end > 300)!;
    const shares = fitted.explain(test, hit, options);
    expect(shares.slice(0, hit.channels.length)).toEqual(hit.channels);
    expect(shares.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 12);
    expect(fitted.explain(test, 300, options)[0]).toMatchObject({ channel: 1, name: "pressure" });
    expect(() => fitted.explain(test, 600, options)).toThrow(/rows 600 to 601 are not within the 600 rows/);
  });

  it("an event that the rows end in is open", () => {
    const cut = { values: test.values.slice(0, 320 * channels), rows: 320, channels };
    const { events } = fitted.detect(cut, { before: normal });
    expect(events.at(-1)).toMatchObject({ open: true });
    expect(events.at(-1)!.end).toBeGreaterThan(310);
  });

  it("probability is small where the score is over the threshold, and falls as scores rise", () => {
    const scores = fitted.score(test, { before: normal });
    const p = fitted.probability(test, { before: normal });
    const order = [...scores.keys()].sort((a, b) => scores[a]! - scores[b]!);
    for (let k = 1; k < order.length; k++) expect(p[order[k]!]).toBeLessThanOrEqual(p[order[k - 1]!]!);
    for (const [i, score] of scores.entries()) if (score > fitted.threshold) expect(p[i]).toBeLessThan(0.02);
  });

  it("fit begins anew, partialFit goes on, and both are the same for a seed", async () => {
    const [a, b] = await Promise.all(
      [1, 2].map(() => createDetector("gru-forecaster", { ...settings, epochs: 2 })),
    );
    const first = await a!.fit(normal);
    const saved = a!.save();
    const further = await a!.partialFit(waves(2000, 5));
    expect(further.heldBackLoss).toBeLessThan(first.heldBackLoss);
    await b!.fit(waves(1500, 7));
    await b!.fit(normal);
    expect(b!.save()).toEqual(saved);
    // A loaded detector goes on as the one that was saved would have.
    const copy = await loadDetector(saved);
    await copy.partialFit(waves(2000, 5));
    expect(copy.save()).toEqual(a!.save());
    await b!.partialFit(lists(waves(2000, 5)));
    expect(b!.save()).toEqual(a!.save());
    for (const one of [a!, b!, copy]) one.dispose();
  });

  it("partialFit calibrates to where the data are now", async () => {
    const detector = await createDetector("cnn-forecaster", { ...settings, alarm: { smooth: 5 } });
    await detector.fit(normal);
    const moved = waves(2000, 5);
    for (let i = 0; i < moved.values.length; i++) moved.values[i]! += 40;
    const later = waves(400, 6);
    for (let i = 0; i < later.values.length; i++) later.values[i]! += 40;
    const over = () => detector.score(later).filter((score) => score > detector.threshold).length;
    expect(over()).toBeGreaterThan(50);
    await detector.partialFit(moved);
    expect(over()).toBeLessThan(20);
    detector.dispose();
  });

  it("an aborted fit leaves it as it was, and a stream of an earlier fit says so", async () => {
    const detector = await createDetector("cnn-forecaster", settings);
    await expect(detector.fit(normal, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "ABORTED",
    });
    expect(detector.isFitted).toBe(false);
    await detector.partialFit(normal);
    const saved = detector.save();
    const stream = detector.stream();
    const running = detector.fit(waves(1500, 4));
    expect(() => detector.score(test)).toThrow(/is being trained; await its fit first/);
    await expect(detector.partialFit(normal)).rejects.toThrow(/is being trained/);
    await running;
    expect(() => stream.push([1, 2, 3])).toThrow(/was fitted again; begin another stream/);
    const aborter = new AbortController();
    const copy = await loadDetector(saved);
    const aborted = copy.partialFit(normal, {
      signal: aborter.signal,
      onProgress: () => aborter.abort(),
    });
    await expect(aborted).rejects.toMatchObject({ code: "ABORTED" });
    expect(copy.save()).toEqual(saved);
    detector.dispose();
    copy.dispose();
    expect(() => copy.score(test)).toThrow(/was disposed/);
  });

  it("before the first fit, everything but fit says so", async () => {
    const detector = await createDetector("cnn-forecaster");
    const uses = [
      () => detector.score(test),
      () => detector.probability(test),
      () => detector.detect(test),
      () => detector.explain(test, 1),
      () => detector.stream(),
      () => detector.save(),
      () => detector.threshold,
      () => detector.channels,
    ];
    for (const use of uses)
      expect(use).toThrow(/cnn-forecaster has learned nothing yet; call fit with normal rows first/);
  });

  const nan = Number.NaN;
  const text = [1, "2", 3] as unknown as number[];
  it.each([
    ["no rows", [], /there are no rows/],
    ["other channels", [[1, 2]], /the rows have 2 channels, and fit had 3 \(temperature, pressure, flow\)/],
    [
      "rows of different lengths",
      [
        [1, 2, 3],
        [1, 2],
      ],
      /row 1 has 2 channels and row 0 has 3/,
    ],
    ["text", [[1, 2, 3], text], /channel 2 of row 1 is "2", which is no number/],
    [
      "only missing values",
      [
        [nan, null, nan],
        [nan, nan, nan],
      ],
      /hold no value at all/,
    ],
    [
      "an infinite value",
      [
        [1, 2, 3],
        [1, Infinity, 3],
      ],
      /channel 2 of row 1 is infinite/,
    ],
    ["a flat array of another size", { ...test, rows: 5 }, /1800 values are not 5 rows of 3 channels/],
    [
      "other names",
      { ...test, names: ["pressure", "temperature", "flow"] },
      /channel 1 of the rows is "pressure" and was "temperature" in fit/,
    ],
    ["a single list of numbers", [1, 2, 3] as unknown as number[][], /a row is a list of numbers/],
  ])("refuses %s, in fit and in score", async (_, x, message) => {
    expect(() => fitted.score(x as number[][])).toThrow(message);
    expect(() => fitted.score(x as number[][])).toThrow(expect.objectContaining({ code: "BAD_INPUT" }));
    const saved = fitted.save();
    await expect(fitted.partialFit(x as number[][])).rejects.toThrow(message);
    expect(fitted.save()).toEqual(saved);
  });

  it("refuses in a stream what it refuses in a batch, and goes on after it", () => {
    const stream = fitted.stream();
    expect(() => stream.push([1, 2])).toThrow(/the row has 2 channels, and fit had 3/);
    expect(() => stream.push([1, -Infinity, 2])).toThrow(/channel 2 of this row is infinite/);
    expect(() => stream.push(text)).toThrow(/channel 2 of this row is "2"/);
    const rows = lists(test).slice(0, 20);
    expect(rows.map((row) => stream.push(row).score)).toEqual([...fitted.score(rows)]);
    expect(stream.push([nan, nan, nan]).score).toBe(fitted.score(rows)[19]);
  });

  it("refuses to learn from too few rows, and from a channel without values", async () => {
    const detector = await createDetector("cnn-forecaster", settings);
    await expect(detector.fit(waves(40, 1))).rejects.toThrow(
      /^40 rows are too few for cnn-forecaster with windows of 16/,
    );
    const dead = lists(normal).map(([a, , c]) => [a!, null, c!]);
    await expect(detector.fit(dead, { names })).rejects.toThrow(
      /^channel 2 \("pressure"\) has no value in any row/,
    );
    await expect(detector.fit(normal, { names: ["a"] })).rejects.toThrow(/1 names for 3 channels/);
    await expect(detector.fit(normal, { labels: new Uint8Array(3) })).rejects.toThrow(
      /3 labels for 2000 rows/,
    );
    expect(detector.isFitted).toBe(false);
  });

  it("refuses a name, setting or hyperparameter that is not there, by the nearest that is", async () => {
    await expect(createDetector("cnn-forcaster" as DetectorName)).rejects.toThrow(
      /did you mean "cnn-forecaster"/,
    );
    const misspelt = { epoch: 3 } as object;
    await expect(createDetector("cnn-forecaster", misspelt)).rejects.toThrow(
      /no setting "epoch": did you mean "epochs"/,
    );
    const alarm = { alarm: { quantil: 0.9 } } as object;
    await expect(createDetector("cnn-forecaster", alarm)).rejects.toThrow(
      /"alarm.quantil": did you mean "quantile"/,
    );
    await expect(createDetector("cnn-forecaster", { window: 1 })).rejects.toThrow(/window/);
    await expect(createDetector("gru-forecaster", { options: { filters: 3 } })).rejects.toThrow(
      /it has .*units/,
    );
  });

  it("loads from a Buffer that begins anywhere in memory", async () => {
    const bytes = fitted.save();
    for (const at of [0, 1, 2, 3]) {
      const pool = Buffer.alloc(bytes.length + at);
      pool.set(bytes, at);
      const copy = await loadDetector(pool.subarray(at));
      expect(copy.save()).toEqual(bytes);
      copy.dispose();
    }
  });

  it("a damaged file, at any byte, and a cut one are refused", async () => {
    const bytes = fitted.save();
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const damaged = bytes.slice();
        damaged[at]! ^= flip;
        await expect(loadDetector(damaged)).rejects.toMatchObject({
          code: at < 4 ? "BAD_INPUT" : "CORRUPT",
        });
        await expect(loadDetector(bytes.subarray(0, at))).rejects.toMatchObject({
          code: at < 4 ? "BAD_INPUT" : "CORRUPT",
        });
      }),
      { numRuns: 60 },
    );
    const later = bytes.slice();
    later[3] = "2".charCodeAt(0);
    await expect(loadDetector(later)).rejects.toThrow(/of form "2", and this Starling reads form 1/);
    await expect(loadDetector(new Uint8Array(0))).rejects.toThrow(/no detector file/);
  });
});
