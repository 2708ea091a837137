import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, isAbsolute, join, normalize } from "node:path";
import { z } from "zod";
import { FleetError } from "../../../protocol/errors.ts";
import { type CompileOptions, compile, type Model } from "../compile.ts";
import { sizeOf } from "../shape.ts";
import { flatWeights, type NamedTensor } from "./flat.ts";
import { toTfjs } from "./tfjs-topology.ts";

/** Of compiling what a file holds; the weights come from the file, so there is no seed. */
export type ImportOptions = Omit<CompileOptions, "seed">;

type Bytes = Uint8Array | ArrayBuffer;

export interface TfjsModel {
  /** model.json, parsed or as text. */
  readonly modelJson: unknown;
  /** What the shards hold, one after the other, or each by itself in the manifest's order. */
  readonly weightData: Bytes | readonly Bytes[];
}

const Quantization = z.discriminatedUnion("dtype", [
  z.looseObject({ dtype: z.literal("uint8"), scale: z.number(), min: z.number() }),
  z.looseObject({ dtype: z.literal("uint16"), scale: z.number(), min: z.number() }),
  z.looseObject({ dtype: z.literal("float16") }),
]);
const WeightSpec = z.looseObject({
  name: z.string(),
  shape: z.array(z.int().nonnegative()),
  dtype: z.string(),
  /** "optimizer": not the model's. */
  group: z.string().nullish(),
  quantization: Quantization.nullish(),
});
type WeightSpec = z.infer<typeof WeightSpec>;
const Manifest = z.array(z.looseObject({ paths: z.array(z.string()), weights: z.array(WeightSpec) }));
const ModelJson = z.looseObject({
  modelTopology: z.unknown(),
  weightsManifest: Manifest.optional(),
  /** As a save handler of tfjs gets it. */
  weightSpecs: z.array(WeightSpec).optional(),
});

const WEIGHTS_FILE = "weights.bin";
const FLOAT_BYTES = 4;

/**
 * A model that tfjs-layers saved, or its converter wrote: model.json and the bytes of its weights, which are found by name and, where they
 * are quantised, made float32. Throws what `compile` throws, BAD_INPUT and BAD_SHAPE.
 */
export async function importTfjs(
  { modelJson, weightData }: TfjsModel,
  options: ImportOptions = {},
): Promise<Model> {
  const file = parse(modelJson);
  const specs = file.weightSpecs ?? (file.weightsManifest ?? []).flatMap(({ weights }) => weights);
  const tensors = new Map(read(specs, joined(weightData)).map((tensor) => [tensor.name, tensor]));
  const model = await compile(file.modelTopology, { ...options, seed: 0 });
  const names = new Set(model.layout.map(({ name }) => name));
  for (const [name, tensor] of tensors) {
    if (names.has(name)) continue;
    const known = withoutCell(name);
    if (!names.has(known))
      throw new FleetError("BAD_INPUT", `the file's weight ${name} belongs to no layer of its model`);
    tensors.set(known, tensor);
  }
  model.setWeights(flatWeights(model.layout, ({ name }) => tensors.get(name)));
  return model;
}

/** What tfjs-layers opens with `tf.loadLayersModel`. Throws UNSUPPORTED for a layer or option that tfjs lacks. */
export function exportTfjs(model: Model): { readonly modelJson: object; readonly weightData: Uint8Array } {
  const weights = model.layout.map(({ name, shape }) => ({ name, shape, dtype: "float32" }));
  const modelJson = {
    modelTopology: toTfjs(model.topology),
    format: "layers-model",
    generatedBy: "Starling",
    convertedBy: null,
    weightsManifest: [{ paths: [WEIGHTS_FILE], weights }],
  };
  return { modelJson, weightData: littleEndian(model.weights()) };
}

/** `path`: model.json, or the folder that it is in. The shards stand beside it. */
export async function loadTfjs(path: string, options: ImportOptions = {}): Promise<Model> {
  const file = (await stat(path)).isDirectory() ? join(path, "model.json") : path;
  const modelJson = await readFile(file, "utf8");
  const shards = (parse(modelJson).weightsManifest ?? []).flatMap(({ paths }) => paths);
  const weightData = await Promise.all(shards.map((shard) => readFile(beside(file, shard))));
  return importTfjs({ modelJson, weightData }, options);
}

/** Writes model.json and weights.bin into `folder`, which is made where it is missing. */
export async function saveTfjs(model: Model, folder: string): Promise<void> {
  const { modelJson, weightData } = exportTfjs(model);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, WEIGHTS_FILE), weightData);
  await writeFile(join(folder, "model.json"), JSON.stringify(modelJson));
}

function parse(modelJson: unknown): z.infer<typeof ModelJson> {
  let raw = modelJson;
  if (typeof raw === "string") {
    try {
      raw = JSON.parse(raw);
    } catch (cause) {
      throw new FleetError("BAD_INPUT", "model.json is not JSON; save the model again", { cause });
    }
  }
  const parsed = ModelJson.safeParse(raw);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new FleetError(
    "BAD_INPUT",
    `model.json does not describe its weights (${issue.path.join(".") || "top"}: ${issue.message}); save the model again`,
  );
}

/** A shard's path comes from a file that may be anyone's: it must not lead out of the folder. */
function beside(file: string, shard: string): string {
  if (isAbsolute(shard) || normalize(shard).startsWith(".."))
    throw new FleetError("BAD_INPUT", `model.json names the shard ${shard}, which is not beside it`);
  return join(dirname(file), shard);
}

/** Keras names a recurrent layer's weights gru/gru_cell/kernel, tfjs gru/kernel: it leaves the cell out too when it loads. */
function withoutCell(name: string): string {
  const parts = name.split("/");
  return [...parts.slice(0, -2), parts.at(-1)].join("/");
}

function read(specs: readonly WeightSpec[], bytes: Uint8Array): NamedTensor[] {
  let offset = 0;
  const tensors: NamedTensor[] = [];
  for (const spec of specs) {
    const count = sizeOf(spec.shape);
    const end = offset + count * bytesOf(spec);
    if (end > bytes.length)
      throw new FleetError(
        "BAD_INPUT",
        `the weights end at byte ${bytes.length}, inside ${spec.name}; a shard is missing or cut short`,
      );
    if (spec.group !== "optimizer") {
      const values = floats(spec, new DataView(bytes.buffer, bytes.byteOffset + offset, end - offset));
      tensors.push({ name: spec.name, shape: spec.shape, values });
    }
    offset = end;
  }
  if (offset !== bytes.length)
    throw new FleetError(
      "BAD_INPUT",
      `there are ${bytes.length} bytes of weights, model.json describes ${offset}; they are not of one model`,
    );
  return tensors;
}

function bytesOf({ name, dtype, quantization, group }: WeightSpec): number {
  if (dtype !== "float32" && group !== "optimizer")
    throw new FleetError(
      "UNSUPPORTED",
      `the weight ${name} is ${dtype}; the engine has float32 weights only`,
    );
  if (quantization) return quantization.dtype === "uint8" ? 1 : 2;
  return dtype === "bool" ? 1 : FLOAT_BYTES;
}

/** Source: the tfjs converter's weights format: value = scale q + min, or IEEE half precision. */
function floats({ shape, quantization }: WeightSpec, view: DataView): Float32Array {
  const count = sizeOf(shape);
  if (!quantization)
    return Float32Array.from({ length: count }, (_, i) => view.getFloat32(i * FLOAT_BYTES, true));
  switch (quantization.dtype) {
    case "float16":
      return Float32Array.from({ length: count }, (_, i) => half(view.getUint16(2 * i, true)));
    case "uint8":
      return Float32Array.from(
        { length: count },
        (_, i) => view.getUint8(i) * quantization.scale + quantization.min,
      );
    case "uint16":
      return Float32Array.from(
        { length: count },
        (_, i) => view.getUint16(2 * i, true) * quantization.scale + quantization.min,
      );
  }
}

/** IEEE 754 binary16: 5 bits of exponent, 10 of fraction. */
function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function joined(data: TfjsModel["weightData"]): Uint8Array {
  const parts = (Array.isArray(data) ? (data as readonly Bytes[]) : [data as Bytes]).map((part) =>
    part instanceof Uint8Array ? part : new Uint8Array(part),
  );
  if (parts.length === 1) return parts[0]!;
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

function littleEndian(values: Float32Array): Uint8Array {
  const bytes = new Uint8Array(values.length * FLOAT_BYTES);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => {
    view.setFloat32(i * FLOAT_BYTES, value, true);
  });
  return bytes;
}
