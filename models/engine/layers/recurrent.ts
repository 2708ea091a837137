import { z } from "zod";
import { Activation } from "../activations.ts";
import { initializer } from "../initializers.ts";
import { common, ignored, none, off, units, zero } from "./config.ts";

/** The options that SimpleRNN, GRU and LSTM share. */
export const recurrentOptions = {
  ...common,
  units,
  activation: Activation.default(2),
  use_bias: z.boolean().nullish(),
  kernel_initializer: initializer("glorot_uniform"),
  recurrent_initializer: initializer("orthogonal"),
  bias_initializer: initializer("zeros"),
  kernel_regularizer: none,
  recurrent_regularizer: none,
  bias_regularizer: none,
  kernel_constraint: none,
  recurrent_constraint: none,
  bias_constraint: none,
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
