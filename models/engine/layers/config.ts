import { z } from "zod";
import { FleetError } from "../../../protocol/errors.ts";
import { type Initializer, initializer } from "../initializers.ts";
import { Constraint, Regularizer } from "../penalties.ts";
import type { Shape } from "../shape.ts";
import type { LayerConfig, WeightPlan } from "./layer.ts";

// What the layers' schemas share. They are strict: an option that is not listed might change what the layer computes,
// so it is refused by name rather than ignored.

/** Only its absence is known. */
export const none = z.null().optional();
export const off = z.literal(false).nullish();
export const zero = z.literal(0).nullish();
/** Options that steer another engine's way of computing, never the result. */
export const ignored = z.unknown().optional();

export const common = {
  name: z.string().min(1).optional(),
  /** The plan reads it: a frozen layer is not trained, but computes the same. */
  trainable: z.boolean().nullish(),
  dtype: z
    .union([z.literal("float32"), z.looseObject({ config: z.looseObject({ name: z.literal("float32") }) })])
    .nullish(),
  batch_input_shape: ignored,
  batch_shape: ignored,
  build_config: ignored,
  activity_regularizer: none,
  /** Keras 3 writes it into many layers. */
  quantization_config: none,
};

type WeightOptions<K extends string> = Record<`${K}_initializer`, z.ZodType<Initializer, unknown>> &
  Record<`${K}_regularizer`, typeof Regularizer> &
  Record<`${K}_constraint`, typeof Constraint>;

/** What a topology may say of one weight: its initializer, regularizer and constraint. */
export function weightOptions<K extends string>(key: K, fallback: string): WeightOptions<K> {
  return {
    [`${key}_initializer`]: initializer(fallback),
    [`${key}_regularizer`]: Regularizer,
    [`${key}_constraint`]: Constraint,
  } as WeightOptions<K>;
}

/** The weight that `weightOptions(key)` describes; `name` where it is not the key. */
export function weightOf(config: object, key: string, shape: Shape, name = key): WeightPlan {
  const options = config as Record<string, never>;
  return {
    name,
    shape,
    initialize: options[`${key}_initializer`]!,
    regularizer: options[`${key}_regularizer`],
    constraint: options[`${key}_constraint`],
  };
}

export const units = z.int().positive().max(65_536);

/** Settings whose wrong value is a mistake in the file, not something that another engine might have. */
const PLAIN = new Set(["name", "units", "filters", "kernel_size"]);

/**
 * `layer.config` as the schema reads it. The schema is made when it is asked for: those of all fifty layers would be megabytes in every thread of
 * an agent whose network has three. Throws UNSUPPORTED, or BAD_INPUT for a malformed setting.
 */
export function parseConfig<T>(schema: () => z.ZodType<T>, layer: LayerConfig): T {
  const result = schema().safeParse(layer.config);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const key = issue.code === "unrecognized_keys" ? issue.keys[0]! : String(issue.path[0] ?? "config");
  const config = layer.config as Record<string, unknown> | null;
  const got = JSON.stringify(config?.[key]) ?? "nothing";
  const where = `layer "${layer.name}" (${layer.className})`;
  if (PLAIN.has(key) || key === "config") {
    throw new FleetError("BAD_INPUT", `${where}: ${key} is ${got}; ${issue.message}`);
  }
  throw new FleetError(
    "UNSUPPORTED",
    `${where}: the engine has no ${key} ${got}; leave it out of the topology or use another engine`,
  );
}

/** (time, channels) of a recurrent layer's input. */
export function sequenceShape(layer: LayerConfig): readonly [time: number, channels: number] {
  const [time, channels] = layer.inputShape;
  if (layer.inputShape.length !== 2 || time === undefined || channels === undefined) {
    const got = `(${layer.inputShape.join(", ")})`;
    throw new FleetError(
      "BAD_INPUT",
      `layer "${layer.name}" (${layer.className}) needs an input of shape (time, channels), but gets ${got}; set return_sequences on the layer before it`,
    );
  }
  return [time, channels];
}
