import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";
import type { Machine } from "./machine.ts";

/** What one output is trained for. */
export const Loss = z.union([
  z.literal("mse").transform((name) => ({ name })),
  z.strictObject({ name: z.literal("mse") }),
]);
export type Loss = z.infer<typeof Loss>;

/** One loss for every output, or one each. */
export const Losses = z.union([Loss.transform((loss) => [loss]), z.array(Loss).min(1)]);

export interface LossValue {
  /** Sum over the targets present, times the samples' weights. */
  sum: number;
  /** Targets that were not missing. */
  present: number;
}

export interface LossOptions {
  /** Also sets the gradients of all outputs. */
  readonly gradient: boolean;
  /** Each sample's part times `machine.sampleWeights`. */
  readonly weighted: boolean;
}

type Output = Machine["outputs"][number];

/**
 * The loss of the outputs in the arena against the targets beside them, for one batch; of several outputs the sum. The value it gives is the
 * same object every time, so that nothing is allocated. Throws BAD_INPUT where losses and outputs do not fit.
 */
export function createLoss(
  machine: Machine,
  losses: readonly Loss[],
): (batch: number, options: LossOptions) => LossValue {
  const { kernels, addresses, outputs, result } = machine;
  if (losses.length !== 1 && losses.length !== outputs.length) {
    throw new FleetError(
      "BAD_INPUT",
      `there are ${losses.length} losses for ${outputs.length} outputs; give one, or one each`,
    );
  }
  const value: LossValue = { sum: 0, present: 0 };
  const one = (output: Output, batch: number, { gradient, weighted }: LossOptions) => {
    const weight = weighted ? addresses.sampleWeights : 0;
    const to = gradient ? output.gradient : 0;
    kernels.squaredError(output.value, output.targets, weight, batch, output.size, to, addresses.result);
  };
  return (batch, options) => {
    value.sum = 0;
    value.present = 0;
    for (let i = 0; i < outputs.length; i++) {
      one(outputs[i]!, batch, options);
      value.sum += result[0]!;
      value.present += result[1]!;
    }
    return value;
  };
}
