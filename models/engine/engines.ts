import { z } from "zod";
import { asFleetError, FleetError } from "../../protocol/errors.ts";
import { type Choice, type CompileOptions, compile as compileOwn, type Model } from "./compile.ts";
import { createRandom } from "./random.ts";
import { type Shape, sizeOf } from "./shape.ts";
import type { Tf, TfLike } from "./tfjs/api.ts";

const Engine = z.enum(["starling", "tfjs", "auto"]).default("starling");
const Measure = z.enum(["training", "scoring"]).default("training");

export type EngineOptions = Omit<CompileOptions, "engine"> & {
  /** "auto": whichever is faster at this topology, see `Model.choice`. */
  readonly engine?: "starling" | "tfjs" | "auto" | undefined;
  /** What "auto" times. */
  readonly measure?: "training" | "scoring" | undefined;
  /** The tfjs to use, where it is not to be `@tensorflow/tfjs-node`. */
  readonly tf?: TfLike | undefined;
};

/**
 * Compiles a LayersModel topology (tfjs `model.toJSON()` or Keras JSON) with fresh weights, for the engine that is asked for. Throws BAD_INPUT,
 * UNSUPPORTED (a layer or option that the engine lacks, or an engine that does not load here), TOO_LARGE.
 */
export async function compile(topology: unknown, options: EngineOptions): Promise<Model> {
  const { engine, measure, tf, ...own } = options;
  const chosen = Engine.safeParse(engine);
  if (!chosen.success)
    throw new FleetError(
      "UNSUPPORTED",
      `compile option engine: there is no "${String(engine)}"; choose starling, tfjs or auto`,
    );
  const { data: timed = "training", success } = Measure.safeParse(measure);
  if (!success) throw new FleetError("BAD_INPUT", 'compile option measure: choose "training" or "scoring"');
  if (chosen.data === "starling") return compileOwn(topology, own);
  const second = async () => {
    const { compileTf, loadTfjs } = await import("./tfjs/index.ts");
    return compileTf((tf as Tf | undefined) ?? (await loadTfjs()), topology, own);
  };
  if (chosen.data === "tfjs") return second();

  const [first, other] = await Promise.allSettled([compileOwn(topology, own), second()]);
  if (first.status === "rejected" && other.status === "rejected") throw neither(first.reason, other.reason);
  if (first.status === "rejected" || other.status === "rejected") {
    const failed = first.status === "rejected" ? first : (other as PromiseRejectedResult);
    const model = first.status === "fulfilled" ? first.value : (other as PromiseFulfilledResult<Model>).value;
    const picked = model.engine;
    return withChoice(model, { picked, why: `the only one that can: ${messageOf(failed.reason)}` });
  }
  const batch = Math.min(LARGEST_BATCH, own.maxBatch ?? LARGEST_BATCH);
  return faster(first.value, other.value, { measure: timed, batch, seed: own.seed });
}

const LARGEST_BATCH = 32;
const WARM_UPS = 1;
const RUNS = 3;

interface Race {
  readonly measure: "training" | "scoring";
  readonly batch: number;
  readonly seed: number;
}

/** Times one batch of each on random data; the slower one is disposed of. */
async function faster(starling: Model, tfjs: Model, race: Race): Promise<Model> {
  const milliseconds = { starling: await timeOf(starling, race), tfjs: await timeOf(tfjs, race) };
  const picked = milliseconds.tfjs < milliseconds.starling ? "tfjs" : "starling";
  const [model, loser] = picked === "tfjs" ? [tfjs, starling] : [starling, tfjs];
  loser.dispose();
  const text = (engine: "starling" | "tfjs") => `${engine} ${milliseconds[engine].toPrecision(3)} ms`;
  const work = race.measure === "training" ? "a training step" : "scoring";
  const why = `${work} of ${race.batch} samples took ${text("starling")}, ${text("tfjs")}`;
  return withChoice(model, { picked, why, milliseconds });
}

/** The median of a few runs; the model's weights are as before. */
async function timeOf(model: Model, { measure, batch, seed }: Race): Promise<number> {
  const random = createRandom(seed);
  // Below 1, so that an embedding finds its first row.
  const fill = (shape: Shape) =>
    Float32Array.from({ length: batch * sizeOf(shape) }, () => 0.99 * random.uniform());
  const [xs, ys] = [model.inputShapes.map(fill), model.outputShapes.map(fill)];
  const optimizer = { name: "adam", learningRate: 1e-6 } as const;
  const before = model.weights();
  const run = async () => {
    if (measure === "scoring") model.predictAll(xs);
    else
      await model.fit(xs, ys, { epochs: 1, batchSize: batch, optimizer, loss: "mse", seed, shuffle: false });
  };
  const times: number[] = [];
  for (let i = 0; i < WARM_UPS + RUNS; i++) {
    const start = performance.now();
    await run();
    if (i >= WARM_UPS) times.push(performance.now() - start);
  }
  model.setWeights(before);
  return times.sort((a, b) => a - b)[Math.floor(RUNS / 2)]!;
}

function withChoice(model: Model, choice: Choice): Model {
  return { ...model, choice };
}

function neither(own: unknown, tfjs: unknown): FleetError {
  const { code, message } = asFleetError(own, "UNSUPPORTED");
  return new FleetError(code, `${message}; and ${messageOf(tfjs)}`, { cause: own });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
