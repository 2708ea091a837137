import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";
import type { Machine } from "./machine.ts";
import { LearningRate, rateAt } from "./schedule.ts";
import type { Segment } from "./trainable.ts";

const learningRate = LearningRate;
const decay = z.number().min(0).lt(1);
/** Defaults of Keras and tfjs; Kingma & Ba 2015 have epsilon 1e-8. */
const moments = {
  learningRate,
  beta1: decay.default(0.9),
  beta2: decay.default(0.999),
  epsilon: z.number().positive().default(1e-7),
};

export const Optimizer = z.discriminatedUnion("name", [
  z.strictObject({
    name: z.literal("sgd"),
    learningRate,
    momentum: decay.default(0),
    nesterov: z.boolean().default(false),
  }),
  z.strictObject({ name: z.literal("adam"), ...moments }),
  /** Weights shrink by learningRate weightDecay each step, beside the gradient; all trained weights do, biases too, as in Keras and PyTorch. */
  z.strictObject({
    name: z.literal("adamw"),
    ...moments,
    weightDecay: z.number().nonnegative().default(0.004),
  }),
  z.strictObject({
    name: z.literal("rmsprop"),
    learningRate,
    rho: decay.default(0.9),
    momentum: decay.default(0),
    centered: z.boolean().default(false),
    epsilon: z.number().positive().default(1e-7),
  }),
  z.strictObject({
    name: z.literal("adagrad"),
    learningRate,
    initialAccumulator: z.number().nonnegative().default(0.1),
    epsilon: z.number().positive().default(1e-7),
  }),
]);
export type Optimizer = z.infer<typeof Optimizer>;

/** One step of the weights against their gradients. */
export interface OptimizerRun {
  step(): void;
  /** Of the step that comes next. */
  rate(): number;
}

/**
 * `state`: "fresh" starts from zero; "keep" goes on from where the last fit's optimizer of this machine stopped, moments and count of steps, and
 * throws BAD_INPUT where that was another one.
 */
export function createOptimizer(
  machine: Machine,
  optimizer: Optimizer,
  { segments, state }: { readonly segments: readonly Segment[]; readonly state: "keep" | "fresh" },
): OptimizerRun {
  const progress = machine.optimizer;
  const name = stateOf(optimizer);
  if (state === "keep" && progress.name !== null && progress.name !== name) {
    throw new FleetError(
      "BAD_INPUT",
      `the kept optimizer state is of ${progress.name}, not of ${name}; start with optimizerState "fresh"`,
    );
  }
  const fresh = state === "fresh" || progress.name === null;
  const update = updateOf(machine, optimizer, fresh);
  if (fresh) progress.steps = 0;
  progress.name = name;
  const rate = () => rateAt(optimizer.learningRate, progress.steps);
  return {
    rate,
    step() {
      const now = rate();
      progress.steps += 1;
      for (let i = 0; i < segments.length; i++) {
        const { offset, count } = segments[i]!;
        update(offset * 4, count, now, progress.steps);
      }
    },
  };
}

/** What the buffers hold: two optimizers with the same text can go on with each other's state. */
export function stateOf(optimizer: Optimizer): string {
  const momentum = "momentum" in optimizer && optimizer.momentum > 0;
  const centered = optimizer.name === "rmsprop" && optimizer.centered;
  return `${centered ? "centered " : ""}${optimizer.name}${momentum ? " with momentum" : ""}`;
}

/** `at`: bytes into each flat buffer; t counts from 1. Buffers that are not used stay untouched, which costs no memory. */
type Update = (at: number, n: number, rate: number, t: number) => void;

function updateOf(machine: Machine, optimizer: Optimizer, fresh: boolean): Update {
  const { kernels, addresses } = machine;
  const { weights: w, gradients: g, first, second, third } = addresses;
  const start = (buffer: Float32Array, value = 0) => {
    if (fresh) buffer.fill(value);
  };
  switch (optimizer.name) {
    case "sgd": {
      const { momentum, nesterov } = optimizer;
      if (momentum > 0) start(machine.first);
      return (at, n, rate) =>
        kernels.sgd(w + at, g + at, momentum > 0 ? first + at : 0, n, rate, momentum, nesterov);
    }
    case "adam":
    case "adamw": {
      const { beta1, beta2, epsilon } = optimizer;
      const weightDecay = optimizer.name === "adamw" ? optimizer.weightDecay : 0;
      start(machine.first);
      start(machine.second);
      return (at, n, rate, t) => {
        const c1 = 1 - beta1 ** t;
        const c2 = 1 - beta2 ** t;
        kernels.adam(
          w + at,
          g + at,
          first + at,
          second + at,
          n,
          rate,
          beta1,
          beta2,
          epsilon,
          c1,
          c2,
          weightDecay,
        );
      };
    }
    case "rmsprop": {
      const { rho, momentum, centered, epsilon } = optimizer;
      start(machine.first);
      if (centered) start(machine.second);
      if (momentum > 0) start(machine.third);
      return (at, n, rate) => {
        const mean = centered ? second + at : 0;
        const velocity = momentum > 0 ? third + at : 0;
        kernels.rmsprop(w + at, g + at, first + at, mean, velocity, n, rate, rho, momentum, epsilon);
      };
    }
    case "adagrad": {
      const { initialAccumulator, epsilon } = optimizer;
      start(machine.first, initialAccumulator);
      return (at, n, rate) => kernels.adagrad(w + at, g + at, first + at, n, rate, epsilon);
    }
  }
}
