import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";
import type { WasmModule } from "../kernels/load.ts";
import { evaluate, type FitOptions, type FitResult, train } from "./fit.ts";
import { createMachine, type Machine } from "./machine.ts";
import { initialWeights, planOf } from "./plan.ts";
import { countOf, type Samples, samplesOf } from "./samples.ts";
import type { Layout, Shape } from "./shape.ts";
import { createStepper, type StateSlot, type Stepper } from "./stepper.ts";
import { summaryOf } from "./summary.ts";
import { parseTopology } from "./topology.ts";

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
};

/** A network with its weights, ready to train and to score. After `dispose`, every call throws UNAVAILABLE. */
export interface Model {
  readonly layout: Layout;
  /** Number of weights: the length of the flat array. */
  readonly parameters: number;
  /** Without the batch axis, e.g. (window, channels). */
  readonly inputShape: Shape;
  readonly outputShape: Shape;
  /** A copy, flat, in layout order. */
  weights(): Float32Array;
  /** Throws BAD_SHAPE (length), NOT_FINITE (NaN, Inf); the old weights then stay. */
  setWeights(flat: Float32Array): void;
  /** Trains. A second fit at the same time throws UNAVAILABLE. More at fit.ts. */
  fit(data: Samples, options: FitOptions): Promise<FitResult>;
  fit(x: Float32Array, y: Float32Array, options: FitOptions): Promise<FitResult>;
  /** x: (n, ...inputShape) -> (n, ...outputShape), in batches. Throws BAD_SHAPE, NOT_FINITE. */
  predict(x: Float32Array): Float32Array;
  /** Mean squared error over the targets present. */
  evaluate(data: Samples): { readonly loss: number; readonly samples: number };
  evaluate(x: Float32Array, y: Float32Array): { readonly loss: number; readonly samples: number };
  /** Stateful scoring. Throws UNSUPPORTED when a layer needs the whole window at once. */
  stepper(): Stepper;
  /** A printable table: layers, output shapes, parameters, FLOPs, arena bytes. */
  summary(): string;
  /** Gives the memory back. A fit under way is rejected with ABORTED. */
  dispose(): void;
}

/**
 * Compiles a LayersModel topology (tfjs `model.toJSON()` or Keras JSON, Sequential) with fresh weights.
 * Throws BAD_INPUT, UNSUPPORTED (a layer or option that the engine lacks), TOO_LARGE.
 */
export async function compile(topology: unknown, options: CompileOptions): Promise<Model> {
  const { seed, maxBatch } = parseOptions(options);
  const plan = planOf(parseTopology(topology));
  let machine: Machine | null = await createMachine(plan, {
    maxBatch,
    ...(options.module && { module: options.module }),
  });
  machine.weights.set(initialWeights(plan, seed));
  const slot: StateSlot = { owner: null };
  const disposal = new AbortController();
  let fitting = false;

  function live(): Machine {
    if (!machine) throw new FleetError("UNAVAILABLE", "the model was disposed; compile it again");
    return machine;
  }

  async function fitModel(...args: [Samples, FitOptions] | [Float32Array, Float32Array, FitOptions]) {
    const target = live();
    const [data, fitOptions] =
      args.length === 2 ? args : ([samplesOf(target, args[0], args[1]), args[2]] as const);
    if (fitting)
      throw new FleetError("UNAVAILABLE", "the model is already training; wait for that fit to end");
    fitting = true;
    try {
      return await train(target, data, fitOptions, disposal.signal);
    } finally {
      fitting = false;
    }
  }

  return {
    layout: plan.layout,
    parameters: plan.parameters,
    inputShape: plan.inputShape,
    outputShape: plan.outputShape,
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
    },
    fit: fitModel,
    predict: (x) => predict(live(), x),
    evaluate(...args: [Samples] | [Float32Array, Float32Array]) {
      const target = live();
      return evaluate(target, args.length === 1 ? args[0] : samplesOf(target, args[0], args[1]));
    },
    stepper() {
      const blocking = live().plan.layers.find((layer) => layer.stateFloats === null);
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
      machine = null;
    },
  };
}

function predict(machine: Machine, x: Float32Array): Float32Array {
  const { maxBatch, inputSize, outputSize } = machine;
  const count = countOf(machine, x);
  const out = new Float32Array(count * outputSize);
  for (let start = 0; start < count; start += maxBatch) {
    const batch = Math.min(maxBatch, count - start);
    machine.input(batch).set(x.subarray(start * inputSize, (start + batch) * inputSize));
    machine.checkInput(batch);
    machine.forward(batch);
    out.set(machine.output(batch), start * outputSize);
  }
  return out;
}

function parseOptions(options: CompileOptions): z.infer<typeof Options> {
  const parsed = Options.safeParse(options);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const code = issue.path[0] === "engine" ? "UNSUPPORTED" : "BAD_INPUT";
  throw new FleetError(code, `compile option ${issue.path.join(".") || "seed"}: ${issue.message}`);
}
