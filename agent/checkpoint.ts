import { z } from "zod";
import { Calibration } from "../models/detectors/calibration.ts";
import { firstIssue } from "../protocol/codec.ts";
import { FleetError } from "../protocol/errors.ts";
import { Sha256, TaskId } from "../protocol/ids.ts";
import { Alert, driftStates, PersonalLosses, personalModels } from "../protocol/messages.ts";
import { AlarmSpec, DetectorSpec } from "../protocol/task.ts";
import type { WatchState } from "./score-watch.ts";

const numbers = z.array(z.number()).readonly();

/** models/scoring `AlarmState`. */
const AlarmState = z.object({
  recent: z
    .array(
      z.object({
        row: z.number(),
        score: z.number().exactOptional(),
        contributions: numbers.exactOptional(),
      }),
    )
    .readonly(),
  open: z
    .object({
      since: z.number(),
      until: z.number(),
      peakScore: z.number(),
      peakRow: z.number(),
      quiet: z.number(),
      contributions: numbers,
      causes: numbers,
      causeRows: z.number(),
    })
    .exactOptional(),
});

/** `WatchState` of score-watch.ts, its scores as base64 of float32. */
const Watch = z.object({
  drift: z.object({
    verdict: z.enum(driftStates),
    counts: numbers,
    rows: z.number(),
    rise: z.number(),
    fall: z.number(),
    worseRows: z.number(),
    betterRows: z.number(),
  }),
  kept: z.string(),
  waiting: z.string(),
  quietRows: z.number(),
  sinceRows: z.number(),
  recalibrations: z.number(),
  limited: z.boolean(),
  installed: z.number(),
});
type Watch = z.infer<typeof Watch>;

/** What the device has settled on for its version, and the hash of its own weights in `versions/`, null where the fleet's score. */
export const Chosen = z.object({
  model: z.enum(personalModels),
  losses: PersonalLosses.nullable(),
  weights: Sha256.nullable(),
});
export type Chosen = z.infer<typeof Chosen>;

/** The version that scores, with all that makes its scores what they are; its weights are in `versions/`. */
export const Installed = z.object({
  task: TaskId,
  number: z.int().positive(),
  sha256: Sha256,
  detector: DetectorSpec,
  alarm: AlarmSpec,
  calibration: Calibration,
  /** Once it is settled, in a task with personal models. */
  personal: Chosen.exactOptional(),
});
export type Installed = z.infer<typeof Installed>;

const Prepared = z.object({
  clock: z.string(),
  row: z.int().nonnegative(),
  counters: z.array(z.object({ column: z.string(), value: z.number(), at: z.number() })).readonly(),
});

/**
 * Where the agent stands between two samples. One file, replaced as a whole: a restart finds version, threshold, hidden state and row of
 * one and the same moment, whenever the process was killed.
 */
export const Checkpoint = z.object({
  form: z.literal(1),
  /** Which data the rows are counted in. */
  source: z.string(),
  /** Time of row 0 where the data have no time of their own. */
  startedMs: z.number(),
  /** The next row to be read, and how many had a score. */
  row: z.int().nonnegative(),
  scored: z.int().nonnegative(),
  installed: Installed.nullable().catch(null), // of an older agent, which knew less: it is installed anew
  /** StreamScorer.state(), base64 of float32. */
  scorer: z.string().nullable(),
  alarm: AlarmState.nullable().catch(null),
  /** What is known of the scores' drift. */
  watch: Watch.nullable().catch(null),
  /** Id of the onset of the alarm that is open. */
  onset: z.string().nullable(),
  /** What counters go on from, where the source can't be read again: models/data/line-preparer.ts `LinePreparerState`. */
  prepared: Prepared.exactOptional(),
  /** Alerts of rows before `row` that may not be in the spool yet. */
  raised: z.array(Alert),
});
export type Checkpoint = z.infer<typeof Checkpoint>;

export function encodeCheckpoint(checkpoint: Checkpoint): Uint8Array {
  return Buffer.from(JSON.stringify(checkpoint));
}

/** Throws CORRUPT. */
export function parseCheckpoint(bytes: Uint8Array): Checkpoint {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString());
  } catch (cause) {
    throw new FleetError("CORRUPT", "the checkpoint is not JSON", { cause });
  }
  const parsed = Checkpoint.safeParse(value);
  if (!parsed.success)
    throw new FleetError("CORRUPT", `the checkpoint is not whole: ${firstIssue(parsed.error)}`);
  return parsed.data;
}

export function watchToText({ kept, waiting, ...rest }: WatchState): Watch {
  return { ...rest, kept: floatsToText(kept), waiting: floatsToText(waiting) };
}

export function textToWatch({ kept, waiting, ...rest }: Watch): WatchState {
  return { ...rest, kept: textToFloats(kept), waiting: textToFloats(waiting) };
}

export function floatsToText(values: Float32Array): string {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString("base64");
}

export function textToFloats(text: string): Float32Array {
  const bytes = new Uint8Array(Buffer.from(text, "base64"));
  return new Float32Array(bytes.buffer, 0, Math.floor(bytes.length / 4));
}
