import { z } from "zod";

/** The numbers that the kernels know them by: models/kernels/assembly/activation.ts. */
const CODES = { linear: 0, relu: 1, tanh: 2, sigmoid: 3, hard_sigmoid: 4, hardSigmoid: 4 } as const;

/** An activation as a topology names it, as the kernels' number. */
export const Activation = z
  .enum(Object.keys(CODES) as (keyof typeof CODES)[])
  .nullish()
  .transform((name) => CODES[name ?? "linear"]);
