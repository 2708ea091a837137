import { FleetError } from "../../protocol/errors.ts";
import { compile, type Model } from "../engine/compile.ts";
import { createRandom } from "../engine/random.ts";
import type { MultiSamples } from "../engine/samples.ts";
import type { Estimator, EstimatorOptions, ResidualStream, ScaledPart } from "./kind.ts";
import { fitNetwork, meanLoss } from "./network.ts";
import { type Patches, picturePatches } from "./picture-patches.ts";
import { recentWindow } from "./recent-window.ts";

/** Stream of the seed that says what is hidden. */
const HIDING_STREAM = 2 ** 22;
/** Samples from which the usual error of a picture's patches is taken: their mean is then good to about a hundredth. */
const USUAL_SAMPLES = 256;
/** With fewer patches, nothing is said of where in the picture a fault is. */
const FEWEST_PATCHES = 4;

/**
 * A network of two modalities: rows (batch, window, channels), picture (batch, height, width, 1), there (batch, 2) -> the newest row (batch, channels) and the
 * picture. A modality that is not there is zeros, and its mark 0. Training hides either of it by `dropout`, and asks for it all the same.
 *
 * Residuals are as long as a row. A channel of the series has its own. A patch of the picture has sqrt(2 n) (r - r0), r the root mean square error of its n
 * pixels and r0 its mean over training: for independent pixel errors of size s about normal with deviation s (Fisher's approximation of chi-squared), as a
 * channel's. It stands at the pixel in the patch's middle; the other pixels have NaN and count nothing.
 * r0 is learned like a weight, behind those of the network.
 */
export async function openMultimodal(options: EstimatorOptions): Promise<Estimator> {
  const { blueprint, channels: width, seed, maxBatch, tuned, spec } = options;
  const model = await compile(blueprint, { seed, maxBatch });
  const [rowsShape, pictureShape] = model.inputShapes as [readonly number[], readonly number[]];
  const [window, channels] = rowsShape as [number, number];
  const pixels = pictureShape[0]! * pictureShape[1]!;
  if (channels + pixels !== width) {
    model.dispose();
    throw new FleetError(
      "BAD_SHAPE",
      `the network takes ${channels + pixels} channels, ${pixels} of them pixels; this device has ${width}`,
    );
  }
  const shape: Shape = { window, channels, pixels };
  const wanted = tuned.patches || Math.max(FEWEST_PATCHES, channels);
  const patches = picturePatches(pictureShape[0]!, pictureShape[1]!, wanted);
  let usual = new Float32Array(patches.count);
  const weightsOf = model.parameters;
  const samples = (parts: readonly ScaledPart[], stride: number, hidden?: () => Hidden) =>
    modalitySamples(parts, { ...shape, stride, hidden });

  return {
    layout: [...model.layout, { name: "picture_patches_usual", shape: [patches.count] }],
    weights() {
      const flat = new Float32Array(weightsOf + usual.length);
      flat.set(model.weights());
      flat.set(usual, weightsOf);
      return flat;
    },
    setWeights(flat) {
      if (flat.length !== weightsOf + usual.length)
        throw new FleetError(
          "BAD_SHAPE",
          `there are ${flat.length} weights, the model has ${weightsOf + usual.length}`,
        );
      const errors = flat.slice(weightsOf);
      if (!errors.every(Number.isFinite))
        throw new FleetError("NOT_FINITE", "the weights hold NaN or Inf; the old ones stay");
      model.setWeights(flat.slice(0, weightsOf));
      usual = errors;
    },
    samples: (parts) => samples(parts, spec.stride).count,
    async train(parts, training) {
      const random = createRandom(training.seed, HIDING_STREAM);
      const { dropout } = tuned as { dropout: number };
      const draw = (): Hidden => {
        const u = random.uniform();
        return u < dropout ? "series" : u < 2 * dropout ? "picture" : "nothing";
      };
      const loss = await fitNetwork(model, samples(parts, spec.stride, draw), training);
      usual = usualErrors(model, samples(parts, spec.stride), { ...shape, patches });
      return loss;
    },
    loss: (parts) => meanLoss(model, samples(parts, window)),
    residuals: width,
    stream: () => multimodalStream(model, { ...shape, patches, usual: () => usual }),
    dispose: () => model.dispose(),
  };
}

interface Shape {
  readonly window: number;
  /** Of the series. */
  readonly channels: number;
  readonly pixels: number;
}

type Hidden = "series" | "picture" | "nothing";

interface Buffers {
  /** (window, channels) */
  readonly rows: Float32Array;
  readonly picture: Float32Array;
  /** (2) */
  readonly there: Float32Array;
}

/** Zeros, and a mark, where a modality is hidden or has no value in the newest row's `target`. */
function mark({ rows, picture, there }: Buffers, target: Float32Array, hidden: Hidden = "nothing"): void {
  const channels = target.length - picture.length;
  there[0] = Number(hidden !== "series" && isThere(target, 0, channels));
  there[1] = Number(hidden !== "picture" && isThere(target, channels, target.length));
  if (there[0] === 0) rows.fill(0);
  if (there[1] === 0) picture.fill(0);
}

function isThere(target: Float32Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (!Number.isNaN(target[i]!)) return true;
  return false;
}

/** One sample a window; it is judged by its newest row and that row's picture. */
function modalitySamples(
  parts: readonly ScaledPart[],
  o: Shape & { readonly stride: number; readonly hidden: (() => Hidden) | undefined },
): MultiSamples {
  const { window, channels, pixels, stride, hidden } = o;
  const width = channels + pixels;
  const starts: number[] = [];
  let count = 0;
  for (const { from, to } of parts) {
    starts.push(count);
    count += Math.max(0, Math.floor((to - from - window) / stride) + 1);
  }
  return {
    count,
    readAll(indexes, [rows, picture, there], [row, pictureBack]) {
      for (let k = 0; k < indexes.length; k++) {
        const index = indexes[k]!;
        if (index >= count)
          throw new FleetError("BAD_INPUT", `there is no window ${index}, there are ${count}`);
        let p = starts.length - 1;
        while (starts[p]! > index) p--;
        const { read, targets = read, from } = parts[p]!;
        const first = from + (index - starts[p]!) * stride;
        const newest = (window - 1) * width;
        const part = {
          rows: rows!.subarray(k * window * channels, (k + 1) * window * channels),
          picture: picture!.subarray(k * pixels, (k + 1) * pixels),
          there: there!.subarray(2 * k, 2 * k + 2),
        };
        const seen = read(first, window);
        for (let i = 0; i < window; i++)
          part.rows.set(seen.subarray(i * width, i * width + channels), i * channels);
        part.picture.set(seen.subarray(newest + channels, newest + width));
        const target = targets(first + window - 1, 1);
        mark(part, target, hidden?.());
        row!.set(target.subarray(0, channels), k * channels);
        pictureBack!.set(target.subarray(channels), k * pixels);
      }
    },
  };
}

/** (patches): mean of the root mean square error of each patch, 0 where there was no picture. */
function usualErrors(
  model: Model,
  samples: MultiSamples,
  { window, channels, pixels, patches }: Shape & { readonly patches: Patches },
): Float32Array<ArrayBuffer> {
  const one = new Uint32Array(1);
  const x = [new Float32Array(window * channels), new Float32Array(pixels), new Float32Array(2)];
  const y = [new Float32Array(channels), new Float32Array(pixels)];
  const rms = new Float32Array(patches.count);
  const present = new Uint32Array(patches.count);
  const sum = new Float64Array(patches.count);
  const seen = new Uint32Array(patches.count);
  const few = Math.min(samples.count, USUAL_SAMPLES);
  for (let i = 0; i < few; i++) {
    one[0] = Math.floor((i * samples.count) / few);
    samples.readAll(one, x, y);
    const [, back] = model.predictAll(x);
    const errors = y[1]!.map((value, j) => value - back![j]!);
    patches.measure(errors, rms, present);
    for (let p = 0; p < rms.length; p++) {
      if (present[p] === 0) continue;
      sum[p]! += rms[p]!;
      seen[p]!++;
    }
  }
  return Float32Array.from(sum, (total, p) => total / Math.max(1, seen[p]!));
}

/** Residuals of the newest row, from the last rows of the series, which are its state; NaN until there are as many as the network takes. */
function multimodalStream(
  model: Model,
  o: Shape & { readonly patches: Patches; readonly usual: () => Float32Array },
): ResidualStream {
  const { window, channels, pixels, patches, usual } = o;
  const recent = recentWindow({ window, width: channels });
  const { stateSize, state, restore, reset } = recent;
  const buffers = {
    rows: new Float32Array(window * channels),
    picture: new Float32Array(pixels),
    there: new Float32Array(2),
  };
  const inputs = [buffers.rows, buffers.picture, buffers.there];
  const residual = new Float32Array(channels + pixels);
  const errors = new Float32Array(pixels);
  const rms = new Float32Array(patches.count);
  const present = new Uint32Array(patches.count);

  return {
    ...{ stateSize, state, restore, reset },
    push(row, target) {
      recent.next().set(row.subarray(0, channels));
      residual.fill(Number.NaN);
      if (recent.seen < window) return residual;
      buffers.rows.set(recent.rows);
      buffers.picture.set(row.subarray(channels));
      mark(buffers, target);
      if (buffers.there[0] === 0 && buffers.there[1] === 0) return residual;
      const [again, back] = model.predictAll(inputs) as [Float32Array, Float32Array];
      for (let c = 0; c < channels; c++) residual[c] = target[c]! - again[c]!;
      if (buffers.there[1] === 0) return residual;
      for (let i = 0; i < pixels; i++) errors[i] = target[channels + i]! - back[i]!;
      patches.measure(errors, rms, present);
      const before = usual();
      for (let p = 0; p < rms.length; p++)
        residual[channels + patches.middles[p]!] = Math.sqrt(2 * present[p]!) * (rms[p]! - before[p]!);
      return residual;
    },
    dispose() {},
  };
}
