import { readFile, writeFile } from "node:fs/promises";
import { type UnzipFileInfo, unzipSync, zipSync } from "fflate";
import { FleetError } from "../../../protocol/errors.ts";
import { compile, type Model } from "../compile.ts";
import { sizeOf } from "../shape.ts";
import { unwrap } from "../topology.ts";
import { flatWeights, type NamedTensor } from "./flat.ts";
import { type Hdf5, isHdf5, withHdf5, writeHdf5 } from "./hdf5.ts";
import { inKerasGroups, kerasTensors } from "./keras-groups.ts";
import { legacyTensors } from "./keras-legacy.ts";
import { toKeras3 } from "./keras-topology.ts";
import type { ImportOptions } from "./tfjs.ts";

/** What a .keras archive unpacks to at most: beyond it, it is no model that the engine could hold. */
const MAX_BYTES = 2 ** 31;
const WEIGHTS = "model.weights.h5";
/** The one whose form is written. */
const KERAS_VERSION = "3.0.0";

/**
 * A model that Keras saved: `.keras` (Keras 3, and the later 2), or whole as `.h5`. Needs the package h5wasm. Throws what `compile`
 * throws, UNAVAILABLE without h5wasm, BAD_INPUT, BAD_SHAPE.
 */
export async function importKeras(file: Uint8Array, options: ImportOptions = {}): Promise<Model> {
  return isHdf5(file) ? importLegacy(file, options) : importArchive(file, options);
}

export async function loadKeras(path: string, options: ImportOptions = {}): Promise<Model> {
  return importKeras(await readFile(path), options);
}

/**
 * What Keras 3 opens with `keras.models.load_model`, as the bytes of a `.keras` file. Needs the package h5wasm. Throws UNSUPPORTED for a layer
 * or option that Keras 3 lacks, UNAVAILABLE without h5wasm.
 */
export async function exportKeras(model: Model): Promise<Uint8Array> {
  const topology = toKeras3(model.topology);
  const flat = model.weights();
  let offset = 0;
  const weights = model.layout.map(({ name, shape }) => {
    offset += sizeOf(shape);
    return { name, shape, values: flat.slice(offset - sizeOf(shape), offset) };
  });
  const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  return zipSync({
    "metadata.json": text({ keras_version: KERAS_VERSION, date_saved: new Date().toISOString() }),
    "config.json": text(topology),
    [WEIGHTS]: await writeHdf5(
      inKerasGroups(topology, (layer) => weights.filter(({ name }) => name.startsWith(`${layer}/`))),
    ),
  });
}

/** `path`: ends in .keras, or Keras will not take it. */
export async function saveKeras(model: Model, path: string): Promise<void> {
  await writeFile(path, await exportKeras(model));
}

/** The network of such a file without its weights, a Keras topology. Throws UNAVAILABLE without h5wasm where it is an .h5, BAD_INPUT. */
export async function kerasTopology(file: Uint8Array): Promise<unknown> {
  if (isHdf5(file)) return legacyTopology(file);
  const { "config.json": config } = unpacked(file);
  if (config === undefined) throw notKeras();
  return unwrap(new TextDecoder().decode(config));
}

async function importArchive(file: Uint8Array, options: ImportOptions): Promise<Model> {
  const { "config.json": config, [WEIGHTS]: weights } = unpacked(file);
  if (config === undefined || weights === undefined) throw notKeras();
  const topology = unwrap(new TextDecoder().decode(config));
  return withWeights(topology, weights, options, (hdf5) => kerasTensors(topology, hdf5));
}

async function importLegacy(file: Uint8Array, options: ImportOptions): Promise<Model> {
  const topology = await legacyTopology(file);
  return withWeights(topology, file, options, (hdf5) => legacyTensors(topology, hdf5));
}

async function legacyTopology(file: Uint8Array): Promise<unknown> {
  const text = await withHdf5(file, (hdf5) => hdf5.text("", "model_config"));
  if (text === undefined)
    throw new FleetError(
      "BAD_INPUT",
      "the .h5 file holds weights only; save the whole model with model.save()",
    );
  return unwrap(text);
}

async function withWeights(
  topology: unknown,
  hdf5: Uint8Array,
  options: ImportOptions,
  tensorsOf: (file: Hdf5) => ReadonlyMap<string, readonly NamedTensor[]>,
): Promise<Model> {
  const model = await compile(topology, { ...options, seed: 0 });
  const tensors = await withHdf5(hdf5, tensorsOf);
  // Within a layer (or a model inside), weights stand in the same order on both sides; names differ from version to version.
  const taken = new Map<string, number>();
  const owners = [...tensors.keys()].sort((a, b) => b.length - a.length);
  const flat = flatWeights(model.layout, ({ name }) => {
    const owner = owners.find((candidate) => name.startsWith(`${candidate}/`));
    if (owner === undefined) return undefined;
    const place = taken.get(owner) ?? 0;
    taken.set(owner, place + 1);
    return tensors.get(owner)![place];
  });
  for (const [owner, { length }] of tensors)
    if (length !== (taken.get(owner) ?? 0))
      throw new FleetError(
        "BAD_SHAPE",
        `the file has ${length} weights for layer "${owner}", the model has ${taken.get(owner) ?? 0}`,
      );
  model.setWeights(flat);
  return model;
}

function unpacked(file: Uint8Array): Record<string, Uint8Array> {
  let left = MAX_BYTES;
  const filter = ({ name, originalSize }: UnzipFileInfo) => {
    if (name !== "config.json" && name !== WEIGHTS) return false;
    left -= originalSize;
    if (left < 0) throw new FleetError("TOO_LARGE", `the archive unpacks to more than ${MAX_BYTES} bytes`);
    return true;
  };
  try {
    return unzipSync(file, { filter });
  } catch (cause) {
    if (cause instanceof FleetError) throw cause;
    throw notKeras(cause);
  }
}

function notKeras(cause?: unknown): FleetError {
  return new FleetError(
    "BAD_INPUT",
    "this is neither a .keras archive nor an .h5 file; save the model again",
    {
      cause,
    },
  );
}
