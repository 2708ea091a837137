import { z } from "zod";

const strength = z.number().nonnegative().nullish();
const L1L2 = z.looseObject({ l1: strength, l2: strength });
/** What Keras takes where only the name is given. */
const DEFAULT_STRENGTH = 0.01;

/** Adds l1 |w| + l2 w^2 to the loss. */
export interface Penalty {
  readonly l1: number;
  readonly l2: number;
}

/** A regularizer as a topology has it: null, "l2", or `{ class_name: "L1L2", config: { l1, l2 } }`. */
export const Regularizer = z
  .union([
    z.null(),
    z
      .enum(["l1", "l2", "l1_l2", "l1l2", "L1", "L2", "L1L2"])
      .transform((name) => ({ class_name: name, config: undefined })),
    z.looseObject({ class_name: z.enum(["L1", "L2", "L1L2", "l1", "l2", "l1_l2"]), config: L1L2.optional() }),
  ])
  .optional()
  .transform((form): Penalty | undefined => {
    if (form === null || form === undefined) return undefined;
    const name = form.class_name.toLowerCase();
    const fallback = (part: string) =>
      form.config === undefined && name.includes(part) ? DEFAULT_STRENGTH : 0;
    return { l1: form.config?.l1 ?? fallback("l1"), l2: form.config?.l2 ?? fallback("l2") };
  });

/**
 * What a weight is held to after each step. Norms are Euclidean, along the first `axes` axes, for each place along the others: Keras' axis 0,
 * or [0, 1, 2] for a convolution's kernel.
 */
export type Constraint =
  | { readonly kind: "max-norm"; readonly max: number; readonly axes: number }
  | { readonly kind: "unit-norm"; readonly axes: number }
  | { readonly kind: "non-negative" };

const LeadingAxes = z
  .union([z.literal(0).transform(() => [0]), z.array(z.int())])
  .default([0])
  .refine((axes) => axes.every((axis, i) => axis === i), "only the first axes")
  .transform((axes) => axes.length);

/** A constraint as a topology has it: null, or `{ class_name: "MaxNorm", config: { max_value, axis } }`. */
export const Constraint = z
  .union([
    z.null(),
    z.looseObject({
      class_name: z.literal("MaxNorm"),
      config: z.looseObject({ max_value: z.number().positive().default(2), axis: LeadingAxes }),
    }),
    z.looseObject({ class_name: z.literal("UnitNorm"), config: z.looseObject({ axis: LeadingAxes }) }),
    z.looseObject({ class_name: z.enum(["NonNeg", "NonNegative"]) }),
  ])
  .optional()
  .transform((form): Constraint | undefined => {
    if (form === null || form === undefined) return undefined;
    switch (form.class_name) {
      case "MaxNorm":
        return { kind: "max-norm", max: form.config.max_value, axes: form.config.axis };
      case "UnitNorm":
        return { kind: "unit-norm", axes: form.config.axis };
      default:
        return { kind: "non-negative" };
    }
  });
