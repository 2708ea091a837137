import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";
import type { WasmModule } from "../kernels/load.ts";
import { evaluate, type ModelEvaluateOptions, type ModelEvaluation } from "./evaluate.ts";
import { train } from "./fit.ts";
import type { FitOptions } from "./fit-options.ts";
import type { FitResult } from "./loop.ts";
import { createMachine, type Machine } from "./machine.ts";
import { initialWeights, planOf } from "./plan.ts";
import { predict, predictOne } from "./predict.ts";
import { type Arrays, dataAndOptions, listOf, type MultiSamples, type Samples } from "./samples.ts";
import type { Layout, Shape } from "./shape.ts";
import { createStepper, type StateSlot, type Stepper } from "./stepper.ts";
import { summaryOf } from "./summary.ts";
import { createCrews } from "./threads/crew.ts";
import { parseTopology, unwrap } from "./topology.ts";

const Options = z.object({
  /** Of the first weights: the same seed gives the same bits. */
  seed: z.int(),
  /** The largest batch that the arena is laid out for. */
  maxBatch: z.int().positive().max(65_536).default(32),
  engine: z.literal("starling").default("starling"),
});
export type CompileOptions = z.input<typeof Options> & {
  /** From `kernelModule()`, possibly in another thread: spares this one the compilation of the kernels. */
  readonly module?: WasmModule;
  /**
   * The script of the threads that help `fit` where it is given `threads`: one that calls `runEngineThread`. Left out, the one in dist/; a bundle,
   * which has no file beside it, gives itself and calls `runEngineThread` where `isEngineThread()`.
   */
  readonly threadScript?: URL;
};

/** What `engine: "auto"` picked. */
export interface Choice {
  readonly picked: "starling" | "tfjs";
  readonly why: string;
  /** Of one batch, by engine, where both were timed. */
  readonly milliseconds?: { readonly starling: number; readonly tfjs: number };
}

/** A network with its weights, ready to train and to score. After `dispose`, every call throws UNAVAILABLE. */
export interface Model {
  /** Which engine computes it. */
  readonly engine: "starling" | "tfjs";
  readonly layout: Layout;
  /** The LayersModel JSON that it was compiled from, without its wrapping: `{ class_name, config }`. */
  readonly topology: unknown;
  /** Number of weights: the length of the flat array. */
  readonly parameters: number;
  /** Without the batch axis, e.g. (window, channels). */
  readonly inputShape: Shape;
  readonly outputShape: Shape;
  /** Of every input and output. */
  readonly inputShapes: readonly Shape[];
  readonly outputShapes: readonly Shape[];
  /** A copy, flat, in layout order. */
  weights(): Float32Array;
  /** Throws BAD_SHAPE (length), NOT_FINITE (NaN, Inf); the old weights then stay. */
  setWeights(flat: Float32Array): void;
  /** Trains. A second fit at the same time throws UNAVAILABLE. More at fit.ts. */
  fit(data: Samples | MultiSamples, options: FitOptions): Promise<FitResult>;
  fit(x: Arrays, y: Arrays, options: FitOptions): Promise<FitResult>;
  /** x: (n, ...inputShape), one array an input -> the first output, (n, ...outputShape), in batches. Throws BAD_SHAPE, NOT_FINITE. */
  predict(x: Arrays): Float32Array;
  /**
   * As predict, for one sample of a model with one input, many times over: a view, valid until the model computes something else. Nothing is allocated.
   */
  predictOne(x: Float32Array): Float32Array;
  /** As predict, but gives every output. */
  predictAll(x: Arrays): Float32Array[];
  /** The mean loss over the targets present, mean squared error where no other is asked for, and metrics. */
  evaluate(data: Samples | MultiSamples, options?: ModelEvaluateOptions): ModelEvaluation;
  evaluate(x: Arrays, y: Arrays, options?: ModelEvaluateOptions): ModelEvaluation;
  /** Stateful scoring. Throws UNSUPPORTED when a layer needs the whole window at once. */
  stepper(): Stepper;
  /** A printable table: layers, output shapes, parameters, FLOPs, arena bytes. */
  summary(): string;
  /** Where `engine: "auto"` chose: what, and why. */
  readonly choice?: Choice;
  /** Gives the memory back. A fit under way is rejected with ABORTED. */
  dispose(): void;
}

/**
 * Compiles a LayersModel topology (tfjs `model.toJSON()` or Keras JSON, Sequential) with fresh weights.
 * Throws BAD_INPUT, UNSUPPORTED (a layer or option that the engine lacks), TOO_LARGE.
 */
export async function compile(topology: unknown, options: CompileOptions): Promise<Model> {
  const { seed, maxBatch } = parseOptions(options);
  const model = unwrap(topology);
  const plan = await planOf(parseTopology(model));
  let machine: Machine | null = await createMachine(plan, {
    maxBatch,
    ...(options.module && { module: options.module }),
  });
  machine.weights.set(initialWeights(plan, seed));
  const slot: StateSlot = { owner: null };
  const disposal = new AbortController();
  const crews = createCrews(machine, {
    topology: model,
    module: options.module,
    script: options.threadScript,
  });
  let fitting = false;
  const derived = { kept: false };

  function live(): Machine {
    if (!machine) throw new FleetError("UNAVAILABLE", "the model was disposed; compile it again");
    if (crews.busy()) {
      throw new FleetError(
        "UNAVAILABLE",
        "the model is in the middle of a batch and waits for a thread that is late; try again",
      );
    }
    return machine;
  }

  async function fitModel(...args: readonly unknown[]) {
    const target = live();
    if (fitting)
      throw new FleetError("UNAVAILABLE", "the model is already training; wait for that fit to end");
    fitting = true;
    try {
      const { data, options } = dataAndOptions<FitOptions>(args);
      return await train(target, data, options, { disposal: disposal.signal, crews });
    } finally {
      fitting = false;
      derived.kept = false;
    }
  }

  function score(x: Arrays): Float32Array[] {
    return predict(live(), listOf(x), fitting ? { kept: false } : derived);
  }

  return {
    engine: "starling",
    topology: model,
    layout: plan.layout,
    parameters: plan.parameters,
    inputShape: plan.inputShape,
    outputShape: plan.outputShape,
    inputShapes: plan.inputs.map(({ shape }) => shape),
    outputShapes: plan.outputs.map((tensor) => plan.tensors[tensor]!.shape),
    weights: () => live().weights.slice(),
    setWeights(flat) {
      const { weights } = live();
      if (flat.length !== weights.length) {
        throw new FleetError(
          "BAD_SHAPE",
          `there are ${flat.length} weights, the model has ${weights.length}`,
        );
      }
      if (!flat.every(Number.isFinite)) {
        throw new FleetError("NOT_FINITE", "the weights hold NaN or Inf; the old ones stay");
      }
      weights.set(flat);
      derived.kept = false;
    },
    fit: fitModel,
    predict: (x) => score(x)[0]!,
    predictOne: (x) => predictOne(live(), x, fitting ? { kept: false } : derived),
    predictAll: score,
    evaluate(...args: readonly unknown[]) {
      const { data, options } = dataAndOptions<ModelEvaluateOptions | undefined>(args);
      return evaluate(live(), data, options);
    },
    stepper() {
      const { inputs, steps } = live().plan;
      const blocking = steps.find(({ layer }) => layer.stateFloats === null)?.layer;
      if (inputs.length > 1)
        throw new FleetError(
          "UNSUPPORTED",
          "a model with several inputs cannot be stepped; score with predict",
        );
      if (blocking) {
        throw new FleetError(
          "UNSUPPORTED",
          `layer "${blocking.name}" (${blocking.className}) cannot be stepped; score whole windows with predict`,
        );
      }
      return createStepper(live, slot);
    },
    summary: () => summaryOf(live()),
    dispose() {
      disposal.abort();
      crews.close();
      machine = null;
    },
  };
}

function parseOptions(options: CompileOptions): z.infer<typeof Options> {
  const parsed = Options.safeParse(options);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const code = issue.path[0] === "engine" ? "UNSUPPORTED" : "BAD_INPUT";
  throw new FleetError(code, `compile option ${issue.path.join(".") || "seed"}: ${issue.message}`);
}
