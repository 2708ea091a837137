import { FleetError } from "../../../protocol/errors.ts";
import { type Optimizer, stateOf } from "../optimizer.ts";
import { rateAt } from "../schedule.ts";
import type { Tf, TfOptimizer, TfTensor, TfVariable } from "./api.ts";

export interface TfRun {
  /** What its state is of: see optimizer.ts. */
  readonly name: string;
  step(gradients: Record<string, TfTensor>): void;
  dispose(): void;
}

/** An optimizer of tfjs with ours' options. Throws UNSUPPORTED for one that tfjs does not have, or has wrong. */
export function createTfOptimizer(tf: Tf, optimizer: Optimizer, variables: readonly TfVariable[]): TfRun {
  const { learningRate } = optimizer;
  const inner = innerOf(tf, optimizer, rateAt(learningRate, 0));
  let steps = 0;
  return {
    name: nameOf(optimizer, variables),
    step(gradients) {
      const rate = rateAt(learningRate, steps);
      steps += 1;
      if (typeof learningRate !== "number") setRate(inner, rate);
      if (optimizer.name === "adamw" && optimizer.weightDecay > 0) {
        const kept = 1 - rate * optimizer.weightDecay;
        for (const variable of variables) variable.assign(tf.mul(variable, kept));
      }
      inner.applyGradients(gradients);
    },
    dispose: () => inner.dispose(),
  };
}

/** tfjs keeps moments by the variables' places, so they are part of what must be the same. */
export function nameOf(optimizer: Optimizer, variables: readonly TfVariable[]): string {
  return `${stateOf(optimizer)} of ${variables.length} weights`;
}

/** SGD has a method for it, as it keeps the rate as a tensor; the others read the field. */
function setRate(optimizer: TfOptimizer, rate: number): void {
  const fields = optimizer as { setLearningRate?: (rate: number) => void; learningRate?: number };
  if (fields.setLearningRate) fields.setLearningRate(rate);
  else fields.learningRate = rate;
}

function innerOf({ train }: Tf, optimizer: Optimizer, rate: number): TfOptimizer {
  switch (optimizer.name) {
    case "sgd": {
      const { momentum, nesterov } = optimizer;
      return momentum > 0 ? train.momentum(rate, momentum, nesterov) : train.sgd(rate);
    }
    case "adam":
    case "adamw":
      return train.adam(rate, optimizer.beta1, optimizer.beta2, optimizer.epsilon);
    case "rmsprop":
      if (optimizer.centered)
        throw unsupported("centered rmsprop (its square root is of a negative number at small gradients)");
      return train.rmsprop(rate, optimizer.rho, optimizer.momentum, optimizer.epsilon);
    case "adagrad":
      if (optimizer.epsilon !== 1e-7) throw unsupported(`an epsilon of ${optimizer.epsilon} for adagrad`);
      return train.adagrad(rate, optimizer.initialAccumulator);
  }
}

function unsupported(what: string): FleetError {
  return new FleetError("UNSUPPORTED", `the tfjs engine has no ${what}; use engine "starling"`);
}
