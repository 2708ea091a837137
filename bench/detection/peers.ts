import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import type { DeviceData } from "../../models/data/device-set.ts";
import { writeNpy } from "../../models/data/npy.ts";
import { fitScaler, scaleSeries } from "../../models/data/scaling.ts";
import { seriesStatistics } from "../../models/data/statistics.ts";
import { type RowRange, splitInTime } from "../../models/data/windows.ts";
import { heldBackPart, trainingClip } from "../../models/detectors/open.ts";
import { FleetError } from "../../protocol/errors.ts";
import type { DetectorSpec } from "../../protocol/task.ts";
import { peerEnv } from "../engine/peers.ts";
import { root } from "../engine/root.ts";

/** Each has a venv of its own in .peers/. */
export const libraries = ["pyod", "tsb-ad", "merlion"] as const;
export type Library = (typeof libraries)[number];

/** What bench/peers/detection.py says, a line each. */
const Version = z.object({ version: z.string() });
const of = { peer: z.string(), seed: z.int(), device: z.string() };
const PeerResult = z.union([
  z.object({ ...of, fitSeconds: z.number(), scoringUs: z.number() }),
  z.object({ ...of, missing: z.string() }),
]);
export type PeerResult = z.infer<typeof PeerResult>;

/** Why a library can't be asked, or undefined. */
export function absence(library: Library): string | undefined {
  return existsSync(pythonOf(library))
    ? undefined
    : `.peers/${library} is not there; run \`node bench/peers/install.mjs detection\` to install it`;
}

/** Rows as our detectors get them, z-scored by the part that is trained on and without gaps, into FOLDER/DEVICE/*.npy. */
export async function writeRows(
  folder: string,
  { device, data: { train, test } }: { readonly device: string; readonly data: DeviceData },
  spec: DetectorSpec,
): Promise<void> {
  const { rows, channels } = train;
  const parts = splitInTime(rows, heldBackPart(rows, spec));
  const { sigmaFloor, clip } = spec;
  const scaler = fitScaler(seriesStatistics(train, parts.train), { sigmaFloor, clip });
  const write = async (name: string, values: Float32Array, { from, to }: RowRange) => {
    const part = values.subarray(from * channels, to * channels);
    await writeNpy(join(folder, device, `${name}.npy`), part, [to - from, channels]);
  };
  await mkdir(join(folder, device), { recursive: true });
  const clipped = { ...scaler, clip: Math.min(clip, trainingClip) };
  await write("fit", scaleSeries(clipped, train.values, { fill: true }), parts.train);
  await write("held", scaleSeries(scaler, train.values, { fill: true }), parts.heldBack);
  await write("test", scaleSeries(scaler, test.values, { fill: true }), { from: 0, to: test.rows });
}

export interface AskOptions {
  readonly folder: string;
  readonly seeds: readonly number[];
  /** Seconds of processor time that a peer may take for one device; without it, as long as it likes. */
  readonly limit?: number | undefined;
  readonly signal: AbortSignal;
  onResult(result: PeerResult): void;
}

/** Fits and scores with every peer of one library, on one thread. Gives the library's version. UNAVAILABLE where it ends in an error. */
export async function askPeers(library: Library, options: AskOptions): Promise<string> {
  const { folder, seeds, limit = 0, signal, onResult } = options;
  const script = fileURLToPath(new URL("bench/peers/detection.py", root));
  const child = spawn(pythonOf(library), [script, library, folder, seeds.join(), String(limit)], {
    env: peerEnv(1),
    stdio: ["ignore", "pipe", "pipe"],
    signal,
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-shownOutput);
  });
  const ended = new Promise<string | number | null>((resolve) => {
    child.on("error", (error) => resolve(error.message)).on("close", resolve);
  });
  let version = "";
  for await (const line of createInterface({ input: child.stdout })) {
    const reply = JSON.parse(line);
    if (version === "") ({ version } = Version.parse(reply));
    else onResult(PeerResult.parse(reply));
  }
  const code = await ended;
  signal.throwIfAborted();
  if (code !== 0) throw new FleetError("UNAVAILABLE", `${library} ended with ${code}: ${said.trim()}`);
  return version;
}

/** Characters of what a library says before it dies. */
const shownOutput = 500;

function pythonOf(library: Library): string {
  return fileURLToPath(new URL(`.peers/${library}/bin/python`, root));
}
