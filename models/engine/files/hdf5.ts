import type { Entity } from "h5wasm";
import { FleetError } from "../../../protocol/errors.ts";
import type { NamedTensor } from "./flat.ts";

/** What is read of an HDF5 file. Paths go from the root, parted by slashes. */
export interface Hdf5 {
  /** The names in a group; none where there is no group. */
  names(path: string): string[];
  /** undefined where there is none. Throws UNSUPPORTED for one that is not made of floats. */
  tensor(path: string): NamedTensor | undefined;
  text(path: string, attribute: string): string | undefined;
  /** [] where there is no such list. */
  texts(path: string, attribute: string): string[];
}

const SIGNATURE = [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a];

export function isHdf5(bytes: Uint8Array): boolean {
  return SIGNATURE.every((byte, i) => bytes[i] === byte);
}

/**
 * Opens the file in memory for as long as `use` runs. Throws UNAVAILABLE where h5wasm is not installed, BAD_INPUT for bytes that are no
 * HDF5 file.
 */
export async function withHdf5<T>(bytes: Uint8Array, use: (file: Hdf5) => T): Promise<T> {
  const { File, Group, Dataset, ready } = await h5wasm();
  const { FS } = await ready;
  if (!isHdf5(bytes)) throw new FleetError("BAD_INPUT", "this is no HDF5 file; save the model again");
  const name = `starling-${crypto.randomUUID()}.h5`; // in the memory of h5wasm, not on any disk
  FS.writeFile(name, bytes);
  try {
    const file = new File(name, "r");
    try {
      return use({
        names(path) {
          const group = path === "" ? file : file.get(path);
          return group instanceof Group ? group.keys() : [];
        },
        tensor(path) {
          const dataset = file.get(path);
          if (!(dataset instanceof Dataset)) return undefined;
          const { value, shape } = dataset;
          if (!(value instanceof Float32Array || value instanceof Float64Array || typeof value === "number"))
            throw new FleetError("UNSUPPORTED", `the weight ${path} is not made of floats`);
          const values = typeof value === "number" ? Float32Array.of(value) : Float32Array.from(value);
          return { name: path, shape: shape ?? [], values };
        },
        text(path, attribute) {
          const value = attributeOf(path === "" ? file : file.get(path), attribute);
          return typeof value === "string" ? value : undefined;
        },
        texts(path, attribute) {
          const value = attributeOf(file.get(path), attribute);
          return Array.isArray(value) ? value.map(String) : [];
        },
      });
    } finally {
      file.close();
    }
  } finally {
    FS.unlink(name);
  }
}

/** An HDF5 file of these tensors; the groups on the way are made. Throws UNAVAILABLE where h5wasm is not installed. */
export async function writeHdf5(tensors: readonly NamedTensor[]): Promise<Uint8Array> {
  const { File, ready } = await h5wasm();
  const { FS } = await ready;
  const name = `starling-${crypto.randomUUID()}.h5`;
  const file = new File(name, "w");
  try {
    const made = new Set<string>();
    for (const { name: path, shape, values } of tensors) {
      const parts = path.split("/").slice(0, -1);
      for (const [i] of parts.entries()) {
        const group = parts.slice(0, i + 1).join("/");
        if (!made.has(group)) file.create_group(group);
        made.add(group);
      }
      file.create_dataset({ name: path, data: values, shape: [...shape], dtype: "<f" });
    }
    file.close();
    return FS.readFile(name) as Uint8Array;
  } finally {
    FS.unlink(name);
  }
}

function attributeOf(entity: Entity | null, name: string): unknown {
  return entity !== null && "attrs" in entity ? entity.attrs[name]?.value : undefined;
}

async function h5wasm() {
  try {
    return await import("h5wasm");
  } catch (cause) {
    throw new FleetError(
      "UNAVAILABLE",
      "Keras files are read by h5wasm; install it with: npm install h5wasm",
      {
        cause,
      },
    );
  }
}
