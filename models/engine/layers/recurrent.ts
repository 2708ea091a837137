import { z } from "zod";
import { FusedActivation } from "../activations.ts";
import { common, ignored, off, units, weightOptions, zero } from "./config.ts";

/** The options that SimpleRNN, GRU and LSTM share. */
export const recurrentOptions = {
  ...common,
  units,
  activation: FusedActivation.default(2),
  use_bias: z.boolean().nullish(),
  ...weightOptions("kernel", "glorot_uniform"),
  ...weightOptions("recurrent", "orthogonal"),
  ...weightOptions("bias", "zeros"),
  dropout: zero,
  recurrent_dropout: zero,
  return_sequences: z.boolean().nullish(),
  return_state: off,
  go_backwards: off,
  stateful: off,
  time_major: off,
  zero_output_for_mask: off,
  unroll: ignored,
  implementation: ignored,
  use_cudnn: ignored,
  seed: ignored,
};

/** Panels of 8 columns, as the kernels pack a (k, n) matrix. */
export function packedFloats(k: number, n: number): number {
  return k * Math.ceil(n / 8) * 8;
}
