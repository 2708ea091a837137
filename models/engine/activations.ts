import { z } from "zod";

/** Computed in place by the layer that has it: the numbers that the kernels know them by, models/kernels/assembly/activation.ts. */
const FUSED = {
  linear: 0,
  relu: 1,
  tanh: 2,
  sigmoid: 3,
  hard_sigmoid: 4,
  relu6: 5,
  exponential: 6,
  /** relu6(x + 3) / 6, which a file of Keras 3 calls hard_sigmoid: topology.ts tells them apart. */
  hard_sigmoid_3: 7,
} as const;

/** Those need a whole row for the way back: they run as a step of their own. */
const ON_ROWS = ["softmax", "log_softmax"] as const;

/** Those need their input for the way back: a step of their own too. The numbers of models/kernels/assembly/curve.ts. */
export const CURVES = {
  rectifier: 0,
  elu: 1,
  gelu: 2,
  gelu_tanh: 3,
  softplus: 4,
  softsign: 5,
  swish: 6,
  mish: 7,
  hard_swish: 8,
} as const;

/** What other engines call them. tfjs writes the names of its classes. */
const ALIASES: Readonly<Record<string, string>> = {
  hardSigmoid: "hard_sigmoid",
  logSoftmax: "log_softmax",
  leakyRelu: "leaky_relu",
  gelu_new: "gelu_tanh",
  silu: "swish",
  hard_silu: "hard_swish",
};

export type CurveName = keyof typeof CURVES;
type Fused = keyof typeof FUSED;
type OnRows = (typeof ON_ROWS)[number];
type Named = Fused | OnRows | Exclude<CurveName, "rectifier"> | "leaky_relu" | "selu";

/** x -> y by one formula with up to three parameters. */
export interface Curve {
  readonly kind: "curve";
  readonly code: number;
  readonly name: string;
  readonly parameters: readonly [a: number, b: number, c: number];
}

/** An activation as a topology names it. `code`: the kernels' number. */
export type Activation =
  | { readonly kind: "fused"; readonly code: number; readonly name: Fused }
  | { readonly kind: "rows"; readonly name: OnRows }
  | Curve;

// Source: Klambauer et al. 2017, arXiv 1706.02515.
export const SELU = { alpha: 1.6732632423543772, scale: 1.0507009873554805 } as const;
/** Of the function `leaky_relu` in Keras, where its layer LeakyReLU has 0.3. */
const LEAKY_SLOPE = 0.2;

const NAMES: readonly string[] = [
  ...Object.keys(FUSED),
  ...ON_ROWS,
  ...Object.keys(CURVES).filter((name) => name !== "rectifier"),
  "leaky_relu",
  "selu",
];
const Name = z
  .string()
  .transform((name) => ALIASES[name] ?? name)
  .refine((name): name is Named => NAMES.includes(name), { error: "no such activation" });

const FusedName = z
  .string()
  .transform((name) => ALIASES[name] ?? name)
  .refine((name): name is Fused => name in FUSED, { error: "none that can be fused" });

/** Any of them. */
export const Activation = Name.nullish().transform((name) => activationOf(name ?? "linear"));

/** One that can be fused, as the kernels' number: what recurrent layers take, which need it at every step. */
export const FusedActivation = FusedName.nullish().transform((name) => FUSED[name ?? "linear"]);

export const LINEAR = FUSED.linear;

/** x above the threshold, slope (x - threshold) below it, at most max: all kinds of ReLU. */
export function rectifier(
  name: string,
  { slope = 0, threshold = 0, max = Number.POSITIVE_INFINITY }: RectifierOptions,
): Curve {
  return { kind: "curve", code: CURVES.rectifier, name, parameters: [slope, threshold, max] };
}

export interface RectifierOptions {
  readonly slope?: number;
  readonly threshold?: number;
  readonly max?: number;
}

/** `scale` times: x, or alpha (e^x - 1) below 0. */
export function elu(name: string, { alpha = 1, scale = 1 } = {}): Curve {
  return { kind: "curve", code: CURVES.elu, name, parameters: [alpha, scale, 0] };
}

function activationOf(name: Named): Activation {
  if (name in FUSED) return { kind: "fused", code: FUSED[name as Fused], name: name as Fused };
  if (name === "softmax" || name === "log_softmax") return { kind: "rows", name };
  if (name === "leaky_relu") return rectifier(name, { slope: LEAKY_SLOPE });
  if (name === "selu") return elu(name, SELU);
  if (name === "elu") return elu(name);
  return { kind: "curve", code: CURVES[name as CurveName], name, parameters: [0, 0, 0] };
}
