import { setImmediate as nextTurn } from "node:timers/promises";
import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";
import { type Layout, layoutSize } from "../../protocol/frame.ts";
import type { BlueprintOptions, Estimator, EstimatorOptions, ResidualStream, ScaledPart } from "./kind.ts";

/** What a kind that learns by sums has of its own. `Learned` is what it makes of the sums: coefficients, a projection. */
export interface Sums<Learned> {
  readonly layout: Layout;
  /** What the array holds before anything has been seen: the means of independent channels that are z-scores. */
  readonly prior: Float32Array;
  readonly residuals: number;
  /** Rows before its own that a sample looks at. */
  readonly before: number;
  /** Adds the terms of some samples to the sums. rows: (before + samples, channels), the `before` rows that the first one looks back at, then each sample's own. */
  add(rows: Float32Array, sums: Float64Array): void;
  solve(means: Float64Array): Learned;
  /** Of one sample. at: where its own row begins in `rows`. */
  loss(learned: Learned, rows: Float32Array, at: number): number;
  stream(learned: Learned): ResidualStream;
}

const Blueprint = z.object({ channels: z.int().positive() });

/** What a version carries beside the sums: a person's reading of them, and what they must fit. */
export function sumsBlueprint({ channels, spec, tuned }: BlueprintOptions, about: string): unknown {
  return { kind: spec.name, channels, ...tuned, sums: about };
}

/**
 * A device's own rows count as n / (n + this) beside the fleet's: the more of them there are, the less it needs the others. A ridge VAR(3) forecasts held-back
 * training rows best with own parts of .9 on SMD (19,000 rows a device), .5 to .7 on jumpstarter2 (4,600) and .3 on SKAB (310); this gives .9, .7 and .13.
 */
const PERSONAL_ROWS = 2_000;

/** Others get a turn, and a signal is heard, once this much time has gone by. */
const TURN_MS = 50;
/** Samples that are taken together: what they share with their neighbours is then little, and their rows as float64 still fit into a processor's nearest caches. */
const BLOCK = 512;

/**
 * An estimator whose array is the mean of some terms over the samples. Averaged over devices, weighted by samples, it is what all samples in one place would
 * have given, up to float32: sums add. What is made of the array is solved for when it is first asked for.
 */
export function openBySums<Learned>(
  options: EstimatorOptions,
  sums: Sums<Learned>,
): Estimator & {
  /** What follows from the present sums. */
  learned(): Learned;
  /** The array becomes that of these parts: `train` without its loss. */
  observe(parts: readonly ScaledPart[], signal?: AbortSignal): Promise<void>;
  /** The array becomes a mix of what it is, a fleet's, and that of these parts. */
  mixIn(parts: readonly ScaledPart[], signal?: AbortSignal): Promise<void>;
} {
  const { channels } = Blueprint.parse(options.blueprint);
  if (channels !== options.channels) {
    throw new FleetError(
      "BAD_SHAPE",
      `the sums of this version are for ${channels} channels: it takes ${channels} channels, this device has ${options.channels}`,
    );
  }
  const size = layoutSize(sums.layout);
  let weights = sums.prior.slice();
  let learned: Learned | undefined;
  const solved = (): Learned => {
    learned ??= sums.solve(Float64Array.from(weights));
    return learned;
  };
  const samplesOf = ({ from, to }: ScaledPart) => Math.max(0, to - from - sums.before);
  const samples = (parts: readonly ScaledPart[]) => parts.reduce((sum, part) => sum + samplesOf(part), 0);
  /** The samples, some at a time, as `add` takes them; each valid until the next. */
  function* blocksOf(parts: readonly ScaledPart[]): Generator<Float32Array> {
    for (const { read, from, to } of parts) {
      for (let i = from + sums.before; i < to; i += BLOCK)
        yield read(i - sums.before, sums.before + Math.min(BLOCK, to - i));
    }
  }
  const loss = (parts: readonly ScaledPart[]) => {
    let sum = 0;
    for (const rows of blocksOf(parts)) {
      for (let at = sums.before * channels; at < rows.length; at += channels)
        sum += sums.loss(solved(), rows, at);
    }
    // 0 / 0 where nothing counts.
    return sum / samples(parts);
  };
  const observe = async (parts: readonly ScaledPart[], signal?: AbortSignal) => {
    const count = samples(parts);
    if (count === 0) {
      throw new FleetError(
        "UNAVAILABLE",
        `no stretch of data is longer than the ${sums.before} rows that a sample looks back: the device must collect more`,
      );
    }
    const total = new Float64Array(size);
    let start = performance.now();
    for (const rows of blocksOf(parts)) {
      sums.add(rows, total);
      if (performance.now() - start < TURN_MS) continue;
      await nextTurn();
      if (signal?.aborted) throw new FleetError("ABORTED", "training was aborted", { cause: signal.reason });
      start = performance.now();
    }
    weights = Float32Array.from(total, (sum) => sum / count);
    learned = undefined;
  };
  const mixIn = async (parts: readonly ScaledPart[], signal?: AbortSignal) => {
    const fleet = weights;
    await observe(parts, signal);
    const rows = samples(parts);
    const own = rows / (rows + PERSONAL_ROWS);
    weights = weights.map((value, i) => own * value + (1 - own) * fleet[i]!);
    learned = undefined;
  };
  return {
    learned: solved,
    observe,
    mixIn,
    layout: sums.layout,
    weights: () => weights.slice(),
    setWeights(flat) {
      if (flat.length !== size)
        throw new FleetError("BAD_SHAPE", `${flat.length} weights given, this detector has ${size}`);
      // Devices that share a model are set to it one after the other, and solving takes seconds where channels are many.
      if (flat.every((value, i) => value === weights[i])) return;
      weights = flat.slice();
      learned = undefined;
    },
    samples,
    async train(parts, { training, personal, signal, onEpoch }) {
      await (personal ? mixIn : observe)(parts, signal);
      const after = loss(parts);
      onEpoch?.({ epoch: training.epochs - 1, loss: after });
      return after;
    },
    loss,
    residuals: sums.residuals,
    stream: () => sums.stream(solved()),
    dispose() {},
  };
}
