import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { openDiskBlobs } from "../../coordinator/embedded/disk-blobs.ts";
import { readNpy } from "../../models/data/npy.ts";
import { openDetector } from "../../models/detectors/open.ts";
import { decodeFrame, type VersionHeader } from "../../protocol/frame.ts";
import { type RoundTraining, TaskSpec } from "../../protocol/task.ts";
import { eventually, type Fleet, isBuilt, openFleet, whyNotBuilt } from "./fleet.ts";

let fleet: Fleet;
afterEach(() => fleet?.close());

if (!isBuilt) console.warn(`skipped: end-to-end tests ${whyNotBuilt}`);

const task = TaskSpec.parse({
  detector: {
    name: "cnn-autoencoder",
    window: 16,
    stride: 8,
    options: { filters: 4, code: 2 },
    adaptRows: 50,
  },
  training: { epochs: 1, augment: { jitter: 0.05, warp: 0.1 } },
  pretrain: { rounds: 2, objective: "masked" },
  rounds: 4,
  round: { keepUpdates: 10 },
  chunkBytes: 256,
  heartbeatMs: 100,
});

/** What a round's training makes of a version, computed here. */
async function trainedFrom(
  bytes: Uint8Array,
  { training, round, data }: { training: RoundTraining; round: number; data: string },
): Promise<Float32Array> {
  const { header, weights } = decodeFrame(bytes);
  const { topology, statistics } = header as VersionHeader;
  const { values, shape } = await readNpy(data);
  const [rows, channels] = shape as [number, number];
  const seed = (task.seed + round * 7919) >>> 0;
  const detector = await openDetector({ spec: task.detector, topology, channels, seed, statistics });
  detector.setWeights(weights);
  await detector.train({ values: Float32Array.from(values), rows, channels }, { training, seed });
  const after = detector.weights();
  detector.dispose();
  return after;
}

const distance = (a: Float32Array, b: Float32Array) => Math.max(...a.map((w, i) => Math.abs(w - b[i]!)));

describe.skipIf(!isBuilt)("a task with pretraining", { timeout: 120_000 }, () => {
  it("has its agents learn the pretext in the first rounds, across a restart, and the detector in the others", async () => {
    fleet = await openFleet(task);
    const coordinator = await fleet.startCoordinator();
    await fleet.startAgent({ device: "one" });
    await eventually(fleet.rounds, (rounds) => rounds.length > 0, "the first round");
    await coordinator.kill("SIGKILL");
    await fleet.startCoordinator();
    await eventually(fleet.task, ({ phase }) => phase === "serving", "all rounds to end");
    const versions = await fleet.versions();
    await fleet.audit(task.rounds);

    const blobs = await openDiskBlobs({ folder: join(fleet.folder, "coordinator/blobs") });
    const frames = await Promise.all(versions.map(({ sha256 }) => blobs.get(sha256)));
    const data = join(fleet.folder, "one_train.npy");
    for (let round = 1; round <= task.rounds; round++) {
      const { weights } = decodeFrame(frames[round]!);
      const own = await trainedFrom(frames[round - 1]!, { training: task.training, round, data });
      const pretext = { ...task.training, pretext: "masked" } as const;
      const taught = await trainedFrom(frames[round - 1]!, { training: pretext, round, data });
      expect(distance(own, taught)).toBeGreaterThan(1e-3);
      const [expected, other] = round <= 2 ? [taught, own] : [own, taught];
      expect(distance(weights, expected), `round ${round}`).toBeLessThan(1e-6);
      expect(distance(weights, other), `round ${round}`).toBeGreaterThan(1e-3);
    }
  });
});
