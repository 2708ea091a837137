import { expect, it } from "vitest";
import type { Checkpoint } from "../../agent/checkpoint.ts";
import { systemClock } from "../../agent/clock.ts";
import { ringData } from "../../agent/recent-data.ts";
import { openScoring } from "../../agent/scoring.ts";
import { blueprintFor } from "../../models/detectors/catalog.ts";
import { openDetector } from "../../models/detectors/open.ts";
import { createRandom } from "../../models/engine/random.ts";
import { RANGE_ROWS } from "../../models/scoring/channel-range.ts";
import { TaskSpec } from "../../protocol/task.ts";
import { quietLog } from "../support/quiet-log.ts";

/** A pressure in bar and a temperature. */
function plant(rows: number, seed: number, pascal = false) {
  const random = createRandom(seed);
  const values = Float32Array.from({ length: 2 * rows }, (_, i) =>
    i % 2 === 0 ? (6 + 0.2 * random.normal()) * (pascal ? 1e5 : 1) : 70 + 2 * random.normal(),
  );
  return { values, rows, channels: 2 };
}

it("an agent names the channel whose unit has changed, once, and says what to do", async () => {
  const { detector: spec, alarm, training } = TaskSpec.parse({ detector: { name: "ewma-z" } });
  const topology = JSON.stringify(await blueprintFor(spec, 2));
  const detector = await openDetector({ spec, topology, channels: 2, seed: 1, statistics: null });
  const normal = plant(1_000, 1);
  await detector.train(normal, { training, seed: 1 });
  const log = quietLog();
  const installed = {
    ...{ task: "main", number: 1, sha256: "0".repeat(64), detector: spec, alarm },
    calibration: detector.calibrate(normal, alarm),
  } as Checkpoint["installed"];
  const scoring = openScoring({
    start: {
      ...{ form: 1, source: "test", startedMs: 0, row: 0, scored: 0, installed },
      ...{ scorer: null, alarm: null, watch: null, onset: null, raised: [] },
    },
    detector,
    recent: ringData({ channels: 2, capacity: 50 }),
    names: ["pressure", "temperature"],
    save: async () => {},
    spool: { add: async () => {} },
    scoresFile: undefined,
    clock: systemClock,
    rate: { see: () => {} },
    log,
  });
  const feed = ({ values, rows }: ReturnType<typeof plant>) =>
    scoring.process({ values, rows, atMs: (i) => i }, new AbortController().signal);
  const told = () => log.lines.filter((line) => line.includes(" channel "));
  await feed(plant(2 * RANGE_ROWS, 2));
  expect(told()).toEqual([]);
  await feed(plant(3 * RANGE_ROWS, 3, true));
  expect(told()).toEqual([
    expect.stringMatching(
      /^warn channel pressure looks like another unit: 100,000 times what it was: check its sensor, unit and wiring/,
    ),
  ]);
  // The coordinator is told, too, for as long as it lasts.
  expect(scoring.oddChannels()).toEqual([
    { channel: 0, name: "pressure", state: "another-unit", what: expect.stringMatching(/100,000 times/) },
  ]);
  await feed(plant(2 * RANGE_ROWS, 4));
  expect(told().slice(1)).toEqual([expect.stringMatching(/^info channel pressure is as in training again/)]);
  expect(scoring.oddChannels()).toEqual([]);
  scoring.close();
});
