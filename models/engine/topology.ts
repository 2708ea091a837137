import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";
import { translated } from "./dialect.ts";
import { connect, type RawCall, type RawModel, type Reference, type Topology } from "./graph.ts";
import type { Shape } from "./shape.ts";

const Layer = z.looseObject({
  class_name: z.string(),
  config: z.looseObject({ name: z.string().optional() }),
});
const Sequential = z.looseObject({
  class_name: z.literal("Sequential"),
  config: z.looseObject({ name: z.string().optional(), layers: z.array(Layer).min(1).max(1_000) }),
});
const Functional = z.looseObject({
  class_name: z.enum(["Functional", "Model"]),
  config: z.looseObject({
    name: z.string().optional(),
    layers: z
      .array(
        z.looseObject({ ...Layer.shape, name: z.string().optional(), inbound_nodes: z.array(z.unknown()) }),
      )
      .min(1)
      .max(1_000),
    input_layers: z.unknown(),
    output_layers: z.unknown(),
  }),
});
const BatchShape = z.tuple([z.null()], z.int().positive());
const InputShapes = z.looseObject({
  batch_input_shape: BatchShape.nullish(),
  batch_shape: BatchShape.nullish(),
});

/**
 * Reads LayersModel JSON (an object or its text) as tfjs-layers and Keras write it, Sequential or functional, also
 * inside `modelTopology` or `model_config`. Models inside a model are taken apart. Throws BAD_INPUT, or UNSUPPORTED for
 * a model of another class.
 */
export function parseTopology(raw: unknown): Topology {
  return connect(parseModel(raw), shapeOf);
}

/** As parseTopology, but leaves models inside a model where they are: what exporters write again in other words. */
export function parseModel(raw: unknown): RawModel {
  return readModel(translated(unwrap(raw)));
}

const MODELS = ["Sequential", "Functional", "Model"];

function readModel(model: unknown): RawModel {
  const className = (model as { class_name?: unknown } | null)?.class_name;
  if (typeof className === "string" && !MODELS.includes(className)) {
    throw new FleetError(
      "UNSUPPORTED",
      `the engine has no ${className} models; use a Sequential or a functional model`,
    );
  }
  return className === "Functional" || className === "Model" ? graph(model) : chain(model);
}

/** A layer, or a model in the place of one. */
function layerOf(raw: { class_name: string; config: { name?: string | undefined } }, place: number) {
  const { class_name: className, config } = raw;
  const name = config.name ?? `${className.toLowerCase()}_${place + 1}`;
  return { name, className, config, ...(MODELS.includes(className) && { model: readModel(raw) }) };
}

function read<T>(schema: z.ZodType<T>, model: unknown): T {
  const parsed = schema.safeParse(model);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new FleetError(
    "BAD_INPUT",
    `the topology is not LayersModel JSON (${issue.path.join(".") || "top"}: ${issue.message}); export it with model.toJSON()`,
    { cause: parsed.error },
  );
}

/** A Sequential model as a functional one: each layer is called with the one before it. */
function chain(model: unknown): RawModel {
  const { name = "sequential", layers } = read(Sequential, model).config;
  const raw = layers.map((layer, i) => layerOf(layer, i));
  if (raw[0]!.className !== "InputLayer") {
    const { config } = innermostFirst(layers[0]!);
    raw.unshift({ name: `${raw[0]!.name}_input`, className: "InputLayer", config });
  }
  const chained = raw.map((layer, i) => ({
    ...layer,
    calls: i === 0 ? [] : [{ from: [reference(raw[i - 1]!.name)], call: {} }],
  }));
  return {
    name,
    layers: chained,
    inputs: [reference(raw[0]!.name)],
    outputs: [reference(raw.at(-1)!.name)],
  };
}

/** A model that begins with a model says its input shape in there. */
function innermostFirst(layer: z.infer<typeof Layer>): z.infer<typeof Layer> {
  const inner =
    Sequential.safeParse(layer).data?.config.layers[0] ?? Functional.safeParse(layer).data?.config.layers[0];
  return inner === undefined ? layer : innermostFirst(inner);
}

function graph(model: unknown): RawModel {
  const { name = "model", layers, input_layers, output_layers } = read(Functional, model).config;
  return {
    name,
    layers: layers.map((raw, i) => {
      const layer = { ...layerOf(raw, i), ...(raw.name !== undefined && { name: raw.name }) };
      return { ...layer, calls: raw.inbound_nodes.map((node) => callOf(node, layer.name)) };
    }),
    inputs: references(input_layers, "input_layers"),
    outputs: references(output_layers, "output_layers"),
  };
}

function reference(layer: string): Reference {
  return { layer, call: 0, tensor: 0 };
}

const RawReference = z
  .tuple([z.string(), z.int(), z.int()], z.unknown())
  .transform(([layer, call, tensor, kwargs]) => ({ layer, call, tensor, kwargs }));
/** [name, 0, 0], or a list of them, or (Keras 3 with several) a map from names to them. */
const References = z.union([
  RawReference.transform((one) => [one]),
  z.array(RawReference),
  z.record(z.string(), RawReference).transform((map) => Object.values(map)),
]);

function references(value: unknown, key: string) {
  const parsed = References.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new FleetError(
    "BAD_INPUT",
    `the topology's ${key} is not [layer, call, tensor]; export it with model.toJSON()`,
  );
}

/** One call as Keras 3 writes it: tensors stand among the arguments, named by where they came from. */
const KerasTensor = z
  .looseObject({
    class_name: z.literal("__keras_tensor__"),
    config: z.looseObject({ keras_history: z.tuple([z.string(), z.int(), z.int()]) }),
  })
  .transform(({ config: { keras_history } }) => ({
    layer: keras_history[0],
    call: keras_history[1],
    tensor: keras_history[2],
  }));
const Keras3Call = z.looseObject({
  args: z.array(z.unknown()),
  kwargs: z.record(z.string(), z.unknown()).default({}),
});

function callOf(node: unknown, layer: string): RawCall {
  const keras3 = Keras3Call.safeParse(node);
  if (keras3.success) {
    const { args, kwargs } = keras3.data;
    const from = args.flatMap((arg) => kerasTensors(arg) ?? []);
    const call = named(from, Object.entries(kwargs), kerasTensors, layer);
    if (call.from.length > 0) return call;
  }
  // Keras 2 and tfjs: [[name, call, tensor, kwargs], ...]; a single one may stand without the outer brackets.
  const list = Array.isArray(node) && typeof node[0] === "string" ? [node] : node;
  const parsed = z.array(RawReference).min(1).safeParse(list);
  if (!parsed.success)
    throw new FleetError(
      "BAD_INPUT",
      `layer "${layer}": its inbound_nodes can't be read; export the model again`,
    );
  const from = parsed.data.map(({ layer: name, call, tensor }) => ({ layer: name, call, tensor }));
  const kwargs = z.record(z.string(), z.unknown()).safeParse(parsed.data[0]!.kwargs).data ?? {};
  // Keras 2 writes further tensors of a call as kwargs: { value: ["encoder", 0, 0] }.
  return named(from, Object.entries(kwargs), rawTensors, layer);
}

/** Where a tensor stands that is given by name: Attention and MultiHeadAttention are called with a query, a value and a key. */
const PLACES: Readonly<Record<string, number>> = { inputs: 0, sequences: 0, query: 0, value: 1, key: 2 };

/** The call with the tensors among its keyword arguments in their places behind the positional ones. */
function named(
  positional: readonly Reference[],
  kwargs: readonly (readonly [string, unknown])[],
  tensorsOf: (value: unknown) => readonly Reference[] | undefined,
  layer: string,
): RawCall {
  const from = [...positional];
  const call: Record<string, unknown> = {};
  const tensors: { place: number; name: string; references: readonly Reference[] }[] = [];
  for (const [name, value] of kwargs) {
    const references = tensorsOf(value);
    if (references === undefined) call[name] = value;
    else tensors.push({ place: PLACES[name] ?? -1, name, references });
  }
  // The file may have sorted them by name.
  for (const { place, name, references } of tensors.sort((a, b) => a.place - b.place)) {
    if (place < 0)
      throw new FleetError("UNSUPPORTED", `layer "${layer}": the engine can't give a tensor as ${name}`);
    if (place !== from.length)
      throw new FleetError(
        "BAD_INPUT",
        `layer "${layer}" is called with ${name} and ${from.length} tensors before it, but ${place} belong there`,
      );
    from.push(...references);
  }
  return { from, call };
}

/** One tensor of Keras 3, or a list of them. */
function kerasTensors(value: unknown): readonly Reference[] | undefined {
  const tensors = [value].flat().map((item) => KerasTensor.safeParse(item).data);
  return tensors.length > 0 && tensors.every((tensor) => tensor !== undefined) ? tensors : undefined;
}

/** As `kerasTensors`, in the form of Keras 2. */
function rawTensors(value: unknown): readonly Reference[] | undefined {
  const parsed = z
    .union([RawReference.transform((one) => [one]), z.array(RawReference).min(1)])
    .safeParse(value);
  return parsed.data?.map(({ layer, call, tensor }) => ({ layer, call, tensor }));
}

/** The model itself: out of its text, `modelTopology` (tfjs) or `model_config` (Keras, its converter). */
export function unwrap(raw: unknown): unknown {
  let model = typeof raw === "string" ? parsed(raw) : raw;
  checkDepth(model);
  while (typeof model === "object" && model !== null) {
    if ("modelTopology" in model) model = model.modelTopology;
    else if ("model_config" in model) model = model.model_config;
    else break;
    // Keras 2 has text inside the JSON.
    if (typeof model === "string") return unwrap(model);
  }
  return model;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new FleetError("BAD_INPUT", "the topology is not JSON; export it with model.toJSON()", { cause });
  }
}

/** Far more than models in models need; what reads the topology afterwards calls itself once a level. */
const MAX_DEPTH = 200;

function checkDepth(model: unknown): void {
  let level: readonly unknown[] = [model];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH)
      throw new FleetError("TOO_LARGE", `the topology is nested more than ${MAX_DEPTH} levels deep`);
    level = level.flatMap((value) =>
      typeof value === "object" && value !== null ? Object.values(value) : [],
    );
  }
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
