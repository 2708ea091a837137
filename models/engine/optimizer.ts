import { z } from "zod";
import type { Machine } from "./machine.ts";

const learningRate = z.number().positive();
const decay = z.number().min(0).lt(1);

export const Optimizer = z.discriminatedUnion("name", [
  z.strictObject({
    name: z.literal("sgd"),
    learningRate,
    momentum: decay.default(0),
    nesterov: z.boolean().default(false),
  }),
  /** Defaults of Keras and tfjs; Kingma & Ba 2015 have epsilon 1e-8. */
  z.strictObject({
    name: z.literal("adam"),
    learningRate,
    beta1: decay.default(0.9),
    beta2: decay.default(0.999),
    epsilon: z.number().positive().default(1e-7),
  }),
]);
export type Optimizer = z.infer<typeof Optimizer>;

/** One step of the weights against their gradients, each time it is called. Its state starts from zero. */
export function createOptimizer(machine: Machine, optimizer: Optimizer): () => void {
  const { kernels, plan, addresses } = machine;
  const { weights: w, gradients: g, first, second } = addresses;
  const n = plan.trained;
  machine.first.fill(0);
  machine.second.fill(0);
  if (optimizer.name === "sgd") {
    const { learningRate, momentum, nesterov } = optimizer;
    const velocity = momentum > 0 ? first : 0;
    return () => kernels.sgd(w, g, velocity, n, learningRate, momentum, nesterov);
  }
  const { learningRate, beta1, beta2, epsilon } = optimizer;
  let power1 = 1; // beta1^t
  let power2 = 1; // beta2^t
  return () => {
    power1 *= beta1;
    power2 *= beta2;
    kernels.adam(w, g, first, second, n, learningRate, beta1, beta2, epsilon, 1 - power1, 1 - power2);
  };
}
