import { z } from "zod";

/** Computed in place by the layer that has it: the numbers that the kernels know them by, models/kernels/assembly/activation.ts. */
const FUSED = { linear: 0, relu: 1, tanh: 2, sigmoid: 3, hard_sigmoid: 4, hardSigmoid: 4 } as const;

/** Those need their input, or a whole row, for the way back: they run as a step of their own. */
const SEPARATE = { softmax: 0 } as const;

type Fused = keyof typeof FUSED;
type Separate = keyof typeof SEPARATE;

/** An activation as a topology names it. `code`: the kernels' number. */
export type Activation =
  | { readonly kind: "fused"; readonly code: number; readonly name: Fused }
  | { readonly kind: "separate"; readonly code: number; readonly name: Separate };

/** Any of them. */
export const Activation = z
  .enum([...(Object.keys(FUSED) as Fused[]), ...(Object.keys(SEPARATE) as Separate[])])
  .nullish()
  .transform((name): Activation => {
    const given = name ?? "linear";
    if (given in FUSED) return { kind: "fused", code: FUSED[given as Fused], name: given as Fused };
    return { kind: "separate", code: SEPARATE[given as Separate], name: given as Separate };
  });

/** One that can be fused, as the kernels' number: what recurrent layers take, which need it at every step. */
export const FusedActivation = z
  .enum(Object.keys(FUSED) as Fused[])
  .nullish()
  .transform((name) => FUSED[name ?? "linear"]);

export const LINEAR = FUSED.linear;
