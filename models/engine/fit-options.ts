import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";
import type { ClassWeights } from "./class-weights.ts";
import { Losses, lossProblem } from "./loss-spec.ts";
import { Metric } from "./metrics.ts";
import { Optimizer } from "./optimizer.ts";
import { type Data, Floats, isPair } from "./samples.ts";

const MOST_THREADS = 64;
const nonNegative = z.number().nonnegative();
const callback = z.custom<never>((value) => typeof value === "function", "not a function").optional();

const EarlyStopping = z.strictObject({
  /** Epochs without a better value after which training ends. */
  patience: z.int().positive(),
  /** How much lower a value must be to count as better. */
  minDelta: nonNegative.default(0),
  /** What is watched; where nothing is said, the validation loss if there is validation data. */
  monitor: z.enum(["loss", "validationLoss"]).optional(),
  /** Leaves the model with the weights of the best epoch rather than the last. */
  restoreBest: z.boolean().default(true),
});
export type EarlyStopping = z.infer<typeof EarlyStopping>;

const Settings = z.strictObject({
  epochs: z.int().positive(),
  batchSize: z.int().positive(),
  optimizer: Optimizer,
  loss: Losses,
  /** What each output's loss counts in the whole. */
  lossWeights: z.array(nonNegative).readonly().optional(),
  seed: z.int(),
  shuffle: z.boolean().default(true),
  /** The largest norm of the gradient of all trained weights together. */
  clipNorm: z.number().positive().optional(),
  /** The largest size of each weight's gradient; before `clipNorm`. */
  clipValue: z.number().positive().optional(),
  /** FedProx: pulls towards the weights at the start of `fit`. */
  proximal: z.strictObject({ mu: nonNegative }).optional(),
  /**
   * SCAFFOLD: adds c - c_i to every gradient, both flat, in layout order. Source: Karimireddy et al. 2020, arXiv 1910.06378, Algorithm 1, line 10.
   */
  controlVariate: z.strictObject({ server: Floats, client: Floats }).optional(),
  /**
   * DP-SGD: each example's gradient is clipped to `clipNorm`, then come the sum, normal noise of deviation noiseMultiplier clipNorm, and the
   * division by the batch size. The noise comes from `seed`, so that runs can be repeated: for privacy, use a seed that nobody can guess, once.
   * Source: Abadi et al. 2016, arXiv 1607.00133, Algorithm 1.
   */
  differentialPrivacy: z
    .strictObject({ clipNorm: z.number().positive(), noiseMultiplier: nonNegative.default(0) })
    .optional(),
  /** Stops after so many batches, over all epochs. */
  maxBatches: z.int().positive().optional(),
  /** One weight a sample, by the sample's index. */
  sampleWeights: Floats.optional(),
  /** By the number of the class: a list, or a record where what is left out counts 1. */
  classWeights: z
    .union([z.array(nonNegative).readonly(), z.record(z.string(), nonNegative).readonly()])
    .optional()
    .transform((weights): ClassWeights | undefined => weights),
  /** Names of layers whose weights stay as they are. */
  freeze: z.array(z.string()).readonly().default([]),
  /** "keep" goes on with the moments and the count of steps of the last fit. */
  optimizerState: z.enum(["keep", "fresh"]).default("fresh"),
  /** The share of the samples, from the end and before shuffling, that is not trained on. */
  validationSplit: z.number().min(0).lt(1).default(0),
  validationData: z
    .custom<Data>(
      (value) => typeof value === "object" && value !== null && (isPair(value as Data) || "count" in value),
      "neither [x, y] nor samples",
    )
    .optional(),
  earlyStopping: EarlyStopping.optional(),
  /** Reported each epoch beside the loss. */
  metrics: z.array(Metric).readonly().default([]),
  /**
   * How many threads share each batch, at most `batchSize`. The others start with the first fit that asks for them and sleep until the next, each
   * with memory for a network of its own. The same seed and number of threads give the same bits; another number rounds sums differently, and
   * draws other masks for dropout and noise.
   */
  threads: z.int().positive().max(MOST_THREADS).default(1),
  signal: z.instanceof(AbortSignal).optional(),
  onEpoch: callback,
  onBatch: callback,
});
export type FitSettings = z.infer<typeof Settings>;

type Callbacks = "signal" | "onEpoch" | "onBatch";
export interface FitOptions extends Omit<z.input<typeof Settings>, Callbacks> {
  readonly signal?: AbortSignal;
  onEpoch?(event: EpochEvent): void;
  onBatch?(event: BatchEvent): void;
}

export interface EpochEvent {
  /** From 0. */
  readonly epoch: number;
  readonly loss: number;
  readonly accuracy?: number;
  readonly binaryAccuracy?: number;
  readonly auc?: number;
  /** Where there is validation data. */
  readonly validation?: {
    readonly loss: number;
    readonly accuracy?: number;
    readonly binaryAccuracy?: number;
    readonly auc?: number;
  };
}

export interface BatchEvent {
  readonly epoch: number;
  /** From 0, over all epochs. */
  readonly batch: number;
  /** How many batches there will be at most, for a progress bar. */
  readonly batches: number;
  readonly loss: number;
}

/** Throws BAD_INPUT, or UNSUPPORTED for a loss, an optimizer or an option that the engine does not have. */
export function parseFit(options: FitOptions): FitSettings {
  const parsed = Settings.safeParse(options);
  if (parsed.success) {
    const { validationSplit, validationData, earlyStopping } = parsed.data;
    const validated = validationSplit > 0 || validationData !== undefined;
    if (validationSplit > 0 && validationData !== undefined)
      throw bad("validationSplit and validationData are both given; choose one");
    if (earlyStopping?.monitor === "validationLoss" && !validated)
      throw bad("earlyStopping watches the validation loss, but there is no validation data");
    return parsed.data;
  }
  const issue = parsed.error.issues[0]!;
  const path = issue.path.join(".");
  if (issue.path[0] === "loss") throw lossProblem(options.loss);
  if (issue.code === "unrecognized_keys") {
    const where = path === "" ? "" : ` in ${path}`;
    throw new FleetError("UNSUPPORTED", `fit: the engine has no option "${issue.keys[0]}"${where}`);
  }
  if (path === "optimizer.name")
    throw new FleetError(
      "UNSUPPORTED",
      `fit option ${path}: the engine has no ${String((options.optimizer as { name?: unknown }).name)}; it has ${optimizers.join(", ")}`,
    );
  throw bad(`fit option ${path || "optimizer"}: ${issue.message}`);
}

const optimizers = Optimizer.options.map(({ shape }) => shape.name.value);

function bad(message: string): FleetError {
  return new FleetError("BAD_INPUT", message);
}
