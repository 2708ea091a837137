import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";

const fromLogits = z.boolean().default(false);
const PLAIN = ["mse", "mae", "logCosh", "poisson", "kld", "cosineSimilarity"] as const;
const CROSS = ["binaryCrossentropy", "categoricalCrossentropy", "sparseCategoricalCrossentropy"] as const;

const Described = z.discriminatedUnion("name", [
  z.strictObject({ name: z.enum(PLAIN) }),
  /** Squared up to `delta`, linear beyond. */
  z.strictObject({ name: z.literal("huber"), delta: z.number().positive().default(1) }),
  /** `fromLogits`: the model's outputs are not probabilities yet, the loss makes them so. */
  z.strictObject({ name: z.enum(CROSS), fromLogits }),
]);

/** What one output is trained for: a name, or a name with its options. */
export const Loss = z.union([
  z.enum([...PLAIN, "huber", ...CROSS]).transform((name): z.infer<typeof Described> => {
    if (name === "huber") return { name, delta: 1 };
    return isCross(name) ? { name, fromLogits: false } : { name };
  }),
  Described,
]);
export type Loss = z.infer<typeof Loss>;

/** One loss for every output, or one each. */
export const Losses = z.union([Loss.transform((loss) => [loss]), z.array(Loss).min(1).readonly()]);

const NAMES: readonly string[] = [...PLAIN, "huber", ...CROSS];

function isCross(name: string): name is (typeof CROSS)[number] {
  return (CROSS as readonly string[]).includes(name);
}

/** Why `Losses` refused it. */
export function lossProblem(given: unknown): FleetError {
  for (const one of Array.isArray(given) ? given : [given]) {
    const name = typeof one === "string" ? one : (one as { name?: unknown } | null)?.name;
    if (typeof name === "string" && !NAMES.includes(name)) {
      return new FleetError("UNSUPPORTED", `the engine has no loss "${name}"; it has ${NAMES.join(", ")}`);
    }
    const parsed = Described.safeParse(one);
    if (typeof one === "object" && !parsed.success) {
      const issue = parsed.error.issues[0]!;
      return new FleetError(
        "BAD_INPUT",
        `loss ${String(name)}: ${issue.path.join(".") || "option"}: ${issue.message}`,
      );
    }
  }
  return new FleetError("BAD_INPUT", `a loss is a name or { name, ... }, one of ${NAMES.join(", ")}`);
}
