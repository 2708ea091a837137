import { expect, it } from "vitest";
import type { Checkpoint } from "../../agent/checkpoint.ts";
import { systemClock } from "../../agent/clock.ts";
import { ringData } from "../../agent/recent-data.ts";
import { openScoring } from "../../agent/scoring.ts";
import { blueprintFor } from "../../models/detectors/catalog.ts";
import { openDetector } from "../../models/detectors/open.ts";
import { createRandom } from "../../models/engine/random.ts";
import type { Alert } from "../../protocol/messages.ts";
import { TaskSpec } from "../../protocol/task.ts";
import { quietLog } from "../support/quiet-log.ts";

const channels = 64;

/** A bright upper half; of a bad image, the lower. */
function images(bad: readonly boolean[], seed: number) {
  const random = createRandom(seed);
  const values = Float32Array.from({ length: bad.length * channels }, (_, i) => {
    const upper = i % channels < channels / 2;
    return (upper === bad[Math.floor(i / channels)] ? 0.1 : 0.8) + 0.1 * random.uniform();
  });
  return { values, rows: bad.length, channels };
}

it("an agent alarms on each bad image by itself, and names no channel where the score has no term for each", async () => {
  const task = TaskSpec.parse({ detector: { name: "cnn2d-rotation", options: { filters: 4 } } });
  const { detector: spec, alarm } = task;
  const topology = JSON.stringify(await blueprintFor(spec, channels));
  const detector = await openDetector({ spec, topology, channels, seed: 1, statistics: null });
  const normal = images(new Array<boolean>(100).fill(false), 1);
  await detector.train(normal, { training: { ...task.training, epochs: 10 }, seed: 1 });
  // Well above what is usual: which rows make alarms is in question here, not how good a threshold from 32 images is.
  const usual = detector.calibrate(normal, alarm);
  const calibration = { ...usual, threshold: 10 * usual.threshold };
  const alerts: Alert[] = [];
  const installed = {
    task: "main",
    number: 1,
    sha256: "0".repeat(64),
    detector: spec,
    alarm,
    calibration,
  } as Checkpoint["installed"];
  const scoring = openScoring({
    start: {
      form: 1,
      source: "test",
      startedMs: 0,
      row: 0,
      scored: 0,
      installed,
      scorer: null,
      alarm: null,
      watch: null,
      onset: null,
      raised: [],
    },
    detector,
    recent: ringData({ channels, capacity: 50 }),
    names: undefined,
    save: async () => {},
    spool: { add: async (alert) => void alerts.push(alert) },
    scoresFile: undefined,
    clock: systemClock,
    rate: { see: () => {} },
    log: quietLog(),
  });
  const bad = Array.from({ length: 30 }, (_, i) => i === 10 || i === 20);
  const { values, rows } = images(bad, 5);
  await scoring.process({ values, rows, atMs: (i) => i }, new AbortController().signal);
  expect(alerts.map(({ phase, row }) => [phase, row])).toEqual([
    ["onset", 10],
    ["end", 11],
    ["onset", 20],
    ["end", 21],
  ]);
  expect(alerts.flatMap(({ channels }) => channels)).toEqual([]);
  scoring.close();
});
