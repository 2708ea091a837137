import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";
import type { Shape } from "./shape.ts";

/** A Sequential model as its file says it: the shape of a sample and the layers' raw configs. */
export interface Topology {
  readonly name: string;
  readonly inputShape: Shape;
  readonly layers: readonly { readonly name: string; readonly className: string; readonly config: unknown }[];
}

const Layer = z.looseObject({
  class_name: z.string(),
  config: z.looseObject({ name: z.string().optional() }),
});
const Sequential = z.looseObject({
  class_name: z.string(),
  config: z.looseObject({ name: z.string().optional(), layers: z.array(Layer).min(1).max(1_000) }),
});
const BatchShape = z.tuple([z.null()], z.int().positive());
const InputShapes = z.looseObject({
  batch_input_shape: BatchShape.nullish(),
  batch_shape: BatchShape.nullish(),
});

/**
 * Reads LayersModel JSON (an object or its text) as tfjs-layers and Keras write it, also inside `modelTopology` or
 * `model_config`. Throws BAD_INPUT, or UNSUPPORTED for a model that is not Sequential.
 */
export function parseTopology(raw: unknown): Topology {
  const model = unwrap(raw);
  const className = (model as { class_name?: unknown } | null)?.class_name;
  if (typeof className === "string" && className !== "Sequential") {
    throw new FleetError("UNSUPPORTED", `the engine has no ${className} models; use a Sequential model`);
  }
  const parsed = Sequential.safeParse(model);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new FleetError(
      "BAD_INPUT",
      `the topology is not LayersModel JSON (${issue.path.join(".") || "top"}: ${issue.message}); export it with model.toJSON()`,
      { cause: parsed.error },
    );
  }
  const { name, layers } = parsed.data.config;
  const inputShape = shapeOf(layers[0]!.config);
  const named = layers
    .filter((layer) => layer.class_name !== "InputLayer")
    .map((layer, i) => ({
      name: layer.config.name ?? `${layer.class_name.toLowerCase()}_${i + 1}`,
      className: layer.class_name,
      config: layer.config,
    }));
  const seen = new Set<string>();
  for (const layer of named) {
    if (seen.has(layer.name)) {
      throw new FleetError("BAD_INPUT", `two layers are named "${layer.name}"; give each its own name`);
    }
    seen.add(layer.name);
  }
  return { name: name ?? "sequential", inputShape, layers: named };
}

function unwrap(raw: unknown): unknown {
  if (typeof raw === "string") {
    try {
      return unwrap(JSON.parse(raw));
    } catch (cause) {
      if (cause instanceof FleetError) throw cause;
      throw new FleetError("BAD_INPUT", "the topology is not JSON; export it with model.toJSON()", { cause });
    }
  }
  if (typeof raw !== "object" || raw === null) return raw;
  if ("modelTopology" in raw) return unwrap(raw.modelTopology);
  if ("model_config" in raw) return unwrap(raw.model_config);
  return raw;
}

function shapeOf(config: unknown): Shape {
  const parsed = InputShapes.safeParse(config);
  const shape = parsed.data?.batch_input_shape ?? parsed.data?.batch_shape;
  if (!shape || shape.length < 2) {
    throw new FleetError(
      "BAD_INPUT",
      "the first layer needs batch_input_shape [null, ...sizes] with every size fixed; set inputShape on it",
    );
  }
  return shape.slice(1) as number[];
}
