import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { createRandom } from "../../../models/engine/random.ts";
import {
  type AnomalyDetector,
  createDetector,
  createFusion,
  type Fusion,
  fusedSurprise,
  fusionRules,
  loadFusion,
  type ModalityRow,
  type ModalityRows,
} from "../../../models/index.ts";

const names = { sensors: ["flow", "pressure", "current"], sound: ["low", "high"] };

/** Two modalities that follow one load; the sensors of rows 300..339 and the sound of rows 500..539 are off. */
function machine(rows: number, seed: number, fault = 0): Record<"sensors" | "sound", number[][]> {
  const random = createRandom(seed);
  let load = 0;
  const sensors: number[][] = [];
  const sound: number[][] = [];
  for (let row = 0; row < rows; row++) {
    load = 0.9 * load + 0.3 * random.normal();
    const noise = () => 0.2 * random.normal();
    const [inSensors, inSound] = [row >= 300 && row < 340, row >= 500 && row < 540];
    sensors.push([load + noise(), 5 - load + noise() + (inSensors ? fault : 0), 2 * load + noise()]);
    sound.push([load + noise(), noise() + (inSound ? fault : 0)]);
  }
  return { sensors, sound };
}

const normal = machine(2500, 1);
const test = machine(700, 9, 2);
let sensors: AnomalyDetector;
let sound: AnomalyDetector;
let fusion: Fusion;

async function fitted(modality: keyof typeof names): Promise<AnomalyDetector> {
  const detector = await createDetector("mahalanobis", { adaptRows: 200 });
  await detector.fit(normal[modality], { names: names[modality] });
  return detector;
}

beforeAll(async () => {
  [sensors, sound] = await Promise.all([fitted("sensors"), fitted("sound")]);
  fusion = createFusion({ sensors, sound });
  fusion.calibrate(normal);
});

const every = (rows: readonly ModalityRow[], n: number) => rows.map((row, i) => (i % n === 0 ? row : null));

describe("late fusion", () => {
  it("is what the rule makes of the detectors' own probabilities, row by row", () => {
    for (const rule of fusionRules) {
      const one = createFusion({ sensors, sound }, { rule });
      one.calibrate(normal);
      const a = sensors.probability(test.sensors);
      const b = sound.probability(test.sound);
      const expected = Float64Array.from(a, (p, i) => fusedSurprise([p, b[i]!], rule));
      expect(one.score(test)).toEqual(expected);
      expect(one.threshold).toBeGreaterThan(0);
    }
  });

  it.each(fusionRules)(
    "%s - finds the fault of either modality, and says which and by which channel",
    (rule) => {
      const one = createFusion({ sensors, sound }, { rule });
      one.calibrate(normal);
      const { events, labels } = one.detect(test, { before: normal });
      for (const [from, modality, channel] of [
        [300, "sensors", "pressure"],
        [500, "sound", "high"],
      ] as const) {
        const event = events.find(({ onset, end }) => onset < from + 40 && end > from)!;
        expect(event.onset).toBeLessThan(from + 10);
        expect(event.modalities[0]).toMatchObject({ name: modality });
        expect(event.modalities[0]!.share).toBeGreaterThan(0.6);
        expect(event.channels[0]).toMatchObject({ modality, name: channel });
        expect(labels[event.peak.row]).toBe(1);
        const [top] = one.explain(test, event, { before: normal });
        expect(top).toMatchObject({ name: modality });
        expect(top!.channels[0]).toMatchObject({ name: channel });
        expect(top!.channels.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 6);
      }
      expect(events.length).toBeLessThanOrEqual(4);
    },
  );

  it("is calibrated: of a modality three times over, it says what the modality alone says, and the formula does not", () => {
    const dependent = createFusion({ sensors, again: sensors, oncemore: sensors });
    const three = (rows: number[][]) => ({ sensors: rows, again: rows, oncemore: rows });
    dependent.calibrate(three(normal.sensors));
    const live = machine(3000, 5).sensors;
    const before = three(normal.sensors);
    const calibrated = dependent.probability(three(live), { before });
    const plain = dependent.score(three(live), { before }).map((score) => Math.exp(-score));
    const alone = sensors.probability(live, { before: normal.sensors });
    const below = (ps: Float64Array, p: number) => ps.filter((one) => one <= p).length / ps.length;
    for (const p of [0.05, 0.1, 0.5, 0.9])
      expect(Math.abs(below(calibrated, p) - below(alone, p)), `${p}`).toBeLessThan(0.02);
    expect(below(plain, 0.05)).toBeGreaterThan(1.5 * below(alone, 0.05));
  });

  it("a stream and a batch give the same scores, probabilities and alarms, whatever is missing and held", () => {
    fc.assert(
      fc.property(
        fc.record({
          rule: fc.constantFrom(...fusionRules),
          hold: fc.integer({ min: 0, max: 12 }),
          slow: fc.integer({ min: 1, max: 10 }),
          hole: fc.integer({ min: 0, max: 500 }),
          warm: fc.integer({ min: 0, max: 400 }),
          gone: fc.constantFrom<"sensors" | "sound" | undefined>("sensors", "sound", undefined),
        }),
        ({ rule, hold, slow, hole, warm, gone }) => {
          const one = createFusion({ sensors, sound }, { rule, hold: { sound: hold } });
          const all = { sensors: normal.sensors, sound: every(normal.sound, slow) };
          one.calibrate(all);
          const rows = {
            sensors: test.sensors.map((row, i) => (i >= hole && i < hole + 20 ? null : row)),
            sound: every(test.sound, slow),
          };
          const { [gone ?? "none"]: _, ...given } = rows as Record<string, ModalityRow[]>;
          const before = { sensors: all.sensors.slice(-warm || 2500), sound: all.sound.slice(-warm || 2500) };
          const options = warm > 0 ? { before } : {};
          const { scores, events, labels } = one.detect(given, options);
          expect(one.score(given, options)).toEqual(scores);
          const probability = one.probability(given, options);
          const stream = one.stream(options);
          const streamed = test.sensors.map((_, i) =>
            stream.push(Object.fromEntries(Object.entries(given).map(([name, of]) => [name, of[i]]))),
          );
          expect(streamed.map(({ score }) => score)).toEqual([...scores]);
          expect(streamed.map(({ probability }) => probability)).toEqual([...probability]);
          const raised = streamed.flatMap(({ alarm }, i) => (alarm === "onset" ? [i] : []));
          expect(raised).toEqual(events.map((event) => event.raised));
          const ends = streamed.filter(({ alarm }) => alarm === "end");
          const closed = events.filter(({ open }) => !open);
          expect(ends.map(({ modalities, channels }) => ({ modalities, channels }))).toEqual(
            closed.map(({ modalities, channels }) => ({ modalities, channels })),
          );
          for (const { onset, end } of events) expect(labels.subarray(onset, end).includes(0)).toBe(false);
        },
      ),
      { numRuns: 12 },
    );
  });

  it("a missing modality does not count: alone, the other is fused as it is", () => {
    const alone = fusion.score({ sensors: test.sensors });
    const own = sensors.probability(test.sensors).map((p) => Math.abs(Math.log(p)));
    expect([...alone]).toEqual([...own]);
    const empty = test.sound.map(() => [Number.NaN, null]);
    expect(fusion.score({ sensors: test.sensors, sound: empty })).toEqual(alone);
    expect(fusion.score({ sensors: test.sensors.map(() => null), sound: empty }).every(Number.isNaN)).toBe(
      true,
    );
  });

  it("a slower modality is held for as many rows as are stated, and then missing", () => {
    const one = createFusion({ sensors, sound }, { hold: { sound: 2 } });
    one.calibrate({ sensors: normal.sensors, sound: every(normal.sound, 3) });
    const stream = one.stream();
    const seen = Array.from({ length: 12 }, (_, i) => {
      const row = i === 0 || i === 5 ? test.sound[i]! : null;
      return stream.push({ sensors: test.sensors[i]!, sound: row }).probabilities.sound!;
    });
    const there = seen.map((p) => !Number.isNaN(p));
    expect(there).toEqual([true, true, true, false, false, true, true, true, false, false, false, false]);
    expect(new Set(seen.slice(0, 3)).size).toBe(1);
    // What came before is held on, too.
    const later = one.stream({ before: { sensors: normal.sensors, sound: every(normal.sound, 2500 - 1) } });
    expect(later.push({ sensors: test.sensors[0]! }).probabilities.sound).not.toBeNaN();
    expect(later.push({ sensors: test.sensors[1]! }).probabilities.sound).not.toBeNaN();
    expect(later.push({ sensors: test.sensors[2]! }).probabilities.sound).toBeNaN();
  });

  it("a detector that judges images as a whole is fused like the others, and named without channels", async () => {
    const random = createRandom(4);
    const picture = (broken: boolean) =>
      Array.from({ length: 64 }, (_, i) => {
        const bar = Math.floor(i / 8) < 3 ? 0.9 : 0.1;
        return Math.min(1, Math.max(0, (broken ? random.uniform() : bar) + 0.05 * random.normal()));
      });
    const pictures = (rows: number, broken: (row: number) => boolean = () => false) =>
      Array.from({ length: rows }, (_, i) => picture(broken(i)));
    const camera = await createDetector("cnn2d-rotation", { epochs: 3, options: { filters: 4, draws: 2 } });
    await camera.fit(pictures(400));
    const one = createFusion({ sensors, camera }, { alarm: { quantile: 0.99 } });
    const quiet = machine(400, 3).sensors;
    one.calibrate({ sensors: quiet, camera: pictures(400) }, { heldBack: 1 });
    const broken = pictures(100, (row) => row >= 50);
    const { events } = one.detect({ sensors: machine(100, 4).sensors, camera: broken });
    const event = events.find(({ end }) => end > 90)!;
    expect(event.onset).toBeGreaterThanOrEqual(48);
    expect(event.modalities[0]!.name).toBe("camera");
    expect(event.channels.every(({ modality }) => modality === "sensors")).toBe(true);
    const [top] = one.explain({ sensors: quiet.slice(0, 100), camera: broken }, 80);
    expect(top).toMatchObject({ name: "camera", channels: [] });
    camera.dispose();
  });

  it("saved and loaded, it gives the same numbers to the bit", async () => {
    const loaded = await loadFusion(fusion.save());
    expect(loaded.threshold).toBe(fusion.threshold);
    expect(loaded.modalities).toEqual(["sensors", "sound"]);
    expect(loaded.detect(test, { before: normal })).toEqual(fusion.detect(test, { before: normal }));
    expect(loaded.save()).toEqual(fusion.save());
    loaded.dispose();
  });

  it("a damaged file is refused, and one of another kind or form", async () => {
    const bytes = fusion.save();
    for (const at of [40, 100, bytes.length >> 1, bytes.length - 1]) {
      const wrong = bytes.slice();
      wrong[at]! ^= 1;
      await expect(loadFusion(wrong)).rejects.toMatchObject({ code: "CORRUPT" });
    }
    await expect(loadFusion(bytes.subarray(0, bytes.length - 5))).rejects.toMatchObject({ code: "CORRUPT" });
    await expect(loadFusion(sensors.save())).rejects.toThrow(/no fusion file/);
    const later = bytes.slice();
    later[3] = "2".charCodeAt(0);
    await expect(loadFusion(later)).rejects.toThrow(/of form "2"/);
  });

  it("refuses what can't be, with a sentence that says what to do", async () => {
    const unfitted = await createDetector("var");
    expect(() => createFusion({})).toThrow(/give at least one detector/);
    expect(() => createFusion({ sensors: unfitted })).toThrow(
      /the detector of sensors has learned nothing yet/,
    );
    expect(() => createFusion({ sensors }, { hold: { sensor: 3 } })).toThrow(/did you mean "sensors"/);
    expect(() => createFusion({ sensors }, { rule: "mean" as "max" })).toThrow(/setting is refused/);
    expect(() => createFusion({ sensors }, { alarm: { k: 5, n: 3 } })).toThrow(/k of the last n/);
    const cases: [ModalityRows, RegExp][] = [
      [{}, /there are no rows/],
      [{ sensors: [] }, /there are no rows/],
      [{ sensor: test.sensors }, /no modality "sensor": did you mean "sensors"/],
      [{ ...test, sound: test.sound.slice(1) }, /sensors has 700 rows and sound has 699/],
      [{ sensors: [[1, 2]] }, /sensors: the rows have 2 channels, and fit had 3/],
      [{ sound: [[1, "2" as unknown as number]] }, /sound: channel 2 of row 0 is "2", which is no number/],
      [{ sound: [[1, Number.POSITIVE_INFINITY]] }, /sound: channel 2 of row 0 is infinite/],
    ];
    for (const [rows, says] of cases) expect(() => fusion.score(rows)).toThrow(says);
    const fresh = createFusion({ sensors, sound });
    expect(() => fresh.detect(test)).toThrow(/call calibrate first/);
    expect(() => fresh.calibrate({ sensors: normal.sensors })).toThrow(/there are no rows of sound/);
    expect(() => fresh.calibrate(machine(20, 1))).toThrow(/too few to set a threshold by/);
    expect(() => fresh.calibrate(normal, { heldBack: 0 })).toThrow(/heldBack is 0/);
    expect(() => fusion.explain(test, 700)).toThrow(/not within the 700 rows/);
  });

  it("a refused row of a stream changes nothing, and a detector that was fitted again ends it", async () => {
    const own = await fitted("sensors");
    const one = createFusion({ sound, sensors: own });
    one.calibrate(normal);
    const [a, b] = [one.stream(), one.stream()];
    for (let i = 0; i < 40; i++) {
      const rows = { sensors: test.sensors[i]!, sound: test.sound[i]! };
      expect(() => b.push({ ...rows, sensors: [1, 2] })).toThrow(/sensors: the row has 2 channels/);
      expect(b.push(rows)).toEqual(a.push(rows));
    }
    await own.fit(normal.sensors.slice(500), { names: names.sensors });
    expect(() => one.detect(test)).toThrow(/the detector of sensors was fitted again; call calibrate again/);
    expect(() => a.push({ sound: test.sound[0]! })).toThrow(/was fitted again/);
  });
});
