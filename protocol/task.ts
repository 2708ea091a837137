import { z } from "zod";
import { parseAlarmBudget } from "./alarm-budget.ts";
import { TaskId } from "./ids.ts";
import { limits } from "./limits.ts";

/** Of no effect. */
const off = 0;

/**
 * What is changed in training samples before they are learned from, drawn anew each epoch; what is left out is off. Each is told of in
 * models/detectors/augment. Sizes are in standard deviations of a channel, or in the unit of the values where a kind does not scale (images).
 */
export const AugmentSpec = z.strictObject({
  /** Standard deviation of noise added to every value of the input. */
  jitter: z.number().min(off).max(10).exactOptional(),
  /** Standard deviation of a factor about 1 for each channel. */
  scaling: z.number().min(off).max(2).exactOptional(),
  /** Share of the input's values that are hidden, each channel by itself; of an image, the share of a square in it. */
  masking: z.number().min(off).max(0.9).exactOptional(),
  /** Mean length of what is hidden in rows; 1: single values. */
  maskRows: z.number().min(1).max(1000).exactOptional(),
  /** Standard deviation of the speed of time about 1. */
  warp: z.number().min(off).max(1).exactOptional(),
  /** Pieces that a window is cut into and put together from in another order; 1 is off. */
  permutation: z.int().min(off).max(16).exactOptional(),
  /** The alpha of the beta distribution that two samples are mixed by. */
  mixup: z.number().min(off).max(10).exactOptional(),
});
export type AugmentSpec = z.infer<typeof AugmentSpec>;

/** How a device trains in one round. */
export const TrainingSpec = z.strictObject({
  epochs: z.int().positive().max(1000).default(2),
  batchSize: z.int().positive().max(1024).default(32),
  learningRate: z.number().positive().max(10).default(0.003),
  optimizer: z.enum(["adam", "sgd"]).default("adam"),
  /** Global-norm clip of every gradient; 0 is off. */
  clipNorm: z.number().nonnegative().default(1),
  /** Weight of the proximal term (FedProx, Li et al. 2020, arXiv 1812.06127); 0 is FedAvg. */
  mu: z.number().nonnegative().default(0),
  augment: AugmentSpec.exactOptional(),
});
export type TrainingSpec = z.infer<typeof TrainingSpec>;

/**
 * What a network can be taught before what it is for. masked: to fill in values hidden from its input (Zerveas et al. 2021, arXiv 2010.02803). rotation: to
 * tell by how many quarters an image was turned (Gidaris et al. 2018, arXiv 1803.07728).
 */
export const pretexts = ["masked", "rotation"] as const;
export type Pretext = (typeof pretexts)[number];

/** As an invitation says it: in a round of pretraining, by what. */
export const RoundTraining = z.strictObject({
  ...TrainingSpec.shape,
  pretext: z.enum(pretexts).exactOptional(),
});
export type RoundTraining = z.infer<typeof RoundTraining>;

/** The first so many of a task's rounds teach the pretext, the others what the detector is for. */
export const PretrainSpec = z.strictObject({
  rounds: z.int().positive().max(1_000_000),
  objective: z.enum(pretexts),
});
export type PretrainSpec = z.infer<typeof PretrainSpec>;

/** `auto`: the quantile, or POT at the same risk where too few scores lie above it, and one standard error more. */
export const alarmRules = ["auto", "quantile", "pot", "mad", "conformal"] as const;

/** How a detector's scores become alarms, on the device. */
export const AlarmSpec = z
  .strictObject({
    /** How the threshold is made from held-back normal scores, where no budget is set; the rules stand in models/scoring/threshold.ts. */
    rule: z.enum(alarmRules).default("auto"),
    /** Quantile of the scores of held-back normal data; pot and conformal take 1 - quantile as their risk, mad does not need it. */
    quantile: z.number().gt(0.5).lt(1).default(0.999),
    /**
     * False alarms to put up with, such as "1 per week". Then the threshold is the one at which the alarms of held-back data, debounce and all, keep to it; the
     * rule stands in where a device does not know its rows per second.
     */
    budget: z
      .string()
      .max(60)
      .superRefine((text, context) => {
        try {
          parseAlarmBudget(text);
        } catch (error) {
          context.addIssue({ code: "custom", message: (error as Error).message });
        }
      })
      .exactOptional(),
    /** Rows per second, for devices whose data do not say. */
    rateHz: z.number().positive().max(1e6).exactOptional(),
    /**
     * How the scores of single rows become evidence: a number is the rows of a causal moving average; a list the time constants, in rows, of a
     * ladder of exponential averages, whose sum sees short and lasting anomalies alike.
     */
    smooth: z
      .union([z.int().positive().max(1000), z.array(z.int().positive().max(10_000)).min(1).max(8).readonly()])
      .default([3, 10, 30]),
    /** k of the last n rows over the threshold make an alarm. */
    k: z.int().positive().max(64).default(3),
    n: z.int().positive().max(64).default(5),
    /** An alarm ends after so many rows in a row at or below `release * threshold`. */
    gap: z.int().positive().max(100_000).default(10),
    /** Below 1, a score that hovers about the threshold is one alarm and not many. */
    release: z.number().positive().max(1).default(1),
  })
  .refine(({ k, n }) => k <= n, { path: ["k"], message: "k of the last n rows can't be with k over n" });
export type AlarmSpec = z.infer<typeof AlarmSpec>;

/** Every kind of detector. What each is and what it can be tuned by stands in models/detectors. */
export const detectorNames = [
  "attention",
  "cnn-autoencoder",
  "cnn-classifier",
  "cnn-forecaster",
  "cnn2d-autoencoder",
  "cnn2d-classifier",
  "cnn2d-rotation",
  "ewma-z",
  "gru-forecaster",
  "layers-model",
  "lstm-autoencoder",
  "lstm-forecaster",
  "mahalanobis",
  "mlp-autoencoder",
  "multimodal-autoencoder",
  "pca",
  "rnn-forecaster",
  "t-test",
  "tcn-forecaster",
  "var",
  "z-test",
] as const;

/** What is trained: the network with its preprocessing. Travels to the device; the topology itself travels inside the version. */
export const DetectorSpec = z.strictObject({
  name: z.enum(detectorNames).default("cnn-forecaster"),
  /** The kind's own hyperparameters, where they are not its defaults. */
  options: z.record(z.string().max(40), z.number()).default({}),
  /**
   * The network of a `layers-model`, LayersModel JSON. The task travels in control messages of 16 KiB, so it must leave room in one; the JSON is best written
   * without spaces.
   */
  topology: z.string().max(12_000).optional(),
  /** Rows of one training window, and rows from one window's start to the next. */
  window: z.int().min(2).max(4096).default(32),
  stride: z.int().positive().max(4096).default(16),
  /** Channel statistics for the scaler: each device's own, or means and variances merged over the fleet before round one, or its medians and ranges, which wild values do not move. */
  scaling: z.enum(["local", "federated", "quantile"]).default("local"),
  /** Scaled values are clipped to +-clip standard deviations. */
  clip: z.number().positive().max(1000).default(100),
  /** Smallest standard deviation of a channel, as a part of its typical size: chosen on SMD's training data. */
  sigmaFloor: z.number().positive().max(1).default(0.1),
  /** Most that one channel's squared residual counts for in a row's score, in squares of its usual size. */
  residualClip: z.number().positive().max(1e12).default(1000),
  /**
   * Rows over which a small lasting change of a channel's level becomes the new normal: the slow part of the residual is taken off it, so
   * that data which drifts does not alarm for ever. A large change takes longer in proportion. 0 is off, and so is a device with a shorter history.
   */
  adaptRows: z.int().nonnegative().max(1_000_000).default(1000),
  /** Part of a device's recent data, its latest, that is never trained on: it sets sigma and threshold. */
  heldBack: z.number().gt(0).lt(0.9).default(0.2),
});
export type DetectorSpec = z.infer<typeof DetectorSpec>;

/** When a round opens and closes. */
export const RoundSpec = z.strictObject({
  /** Updates wanted, as a part of the devices that are ready. */
  target: z.number().gt(0).max(1).default(1),
  /** Devices invited beyond the target, as a part of it, because some will not answer. */
  overInvite: z.number().nonnegative().max(4).default(0.25),
  /** With this part of the target in, the round waits `graceMs` more for the rest, then closes. With everybody in, it closes at once. */
  quorum: z.number().gt(0).max(1).default(0.8),
  graceMs: z.int().nonnegative().max(3_600_000).default(10_000),
  /** With fewer updates than this at the deadline the round is aborted. */
  floor: z.int().positive().default(1),
  deadlineMs: z.int().min(100).max(86_400_000).default(60_000),
  /** An update may not weigh more than this many samples: none may outvote the fleet by its own word. */
  maxSamples: z
    .int()
    .positive()
    .max(1 << 24)
    .default(1_000_000),
  /** The updates of so many past rounds are kept, so that a sum can be checked; older ones are deleted. */
  keepUpdates: z.int().nonnegative().default(3),
  /** Pause after an aborted round, doubled with each further one in a row, to sixteen times. */
  retryMs: z.int().min(10).max(3_600_000).default(5_000),
});
export type RoundSpec = z.infer<typeof RoundSpec>;

/** One detector trained over one part of the fleet. */
export const TaskSpec = z
  .strictObject({
    id: TaskId.default("main"),
    detector: DetectorSpec.prefault({}),
    training: TrainingSpec.prefault({}),
    pretrain: PretrainSpec.exactOptional(),
    /**
     * true: once the rounds are over, a device may score with a model of its own, where that has the lower loss on its held-back data: models/detectors/personal.ts.
     * Left out where it is off, as agents of before would refuse a task that names it.
     */
    personal: z.boolean().exactOptional(),
    alarm: AlarmSpec.prefault({}),
    round: RoundSpec.prefault({}),
    /** Rounds to run; after them the task serves its last version. */
    rounds: z.int().positive().max(1_000_000).default(10),
    /** Devices that must be ready before round one. */
    minDevices: z.int().positive().default(1),
    seed: z.int().nonnegative().max(0xffffffff).default(1),
    /** Bytes of one chunk of an update or a version. */
    chunkBytes: z.int().min(64).max(limits.chunkBytes).default(limits.chunkBytes),
    heartbeatMs: z.int().min(100).max(3_600_000).default(10_000),
  })
  .refine(({ pretrain, rounds }) => pretrain === undefined || pretrain.rounds < rounds, {
    path: ["pretrain", "rounds"],
    message: "the rounds of pretraining are the first of all rounds; leave some for the detector itself",
  });
export type TaskSpec = z.infer<typeof TaskSpec>;
