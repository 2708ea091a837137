import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { FleetError } from "../../protocol/errors.ts";
import { DEFAULT_MAX_BYTES, fileChunks, type ReadLimits, tooLarge } from "./bytes.ts";

export interface NpyArray {
  /** The type in the file, without byte order: "f4", "u1", ... */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** In C order. float64 is rounded to float32; integers above 2^24 lose their last digits. */
  readonly values: Float32Array;
}

/**
 * Reads a NumPy `.npy` or `.npy.gz` file (format 1, 2 and 3) as it streams in, so that only the result is held.
 * Throws BAD_INPUT with the file and the byte or key that is wrong.
 * Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */
export async function readNpy(path: string, limits: ReadLimits = {}): Promise<NpyArray> {
  return await decodeNpy(fileChunks(path, limits), path, limits);
}

/** As `readNpy`, from bytes that come from anywhere; `name` stands in the messages. */
export async function decodeNpy(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  name: string,
  limits: ReadLimits = {},
): Promise<NpyArray> {
  const maxBytes = limits.maxBytes ?? DEFAULT_MAX_BYTES;
  let pending: Uint8Array = new Uint8Array(0);
  let header: Header | undefined;
  let values = new Float32Array(0);
  let filled = 0;

  for await (const chunk of chunks) {
    const bytes = pending.length > 0 ? joined(pending, chunk) : chunk;
    let at = 0;
    if (!header) {
      header = parseHeader(bytes, name);
      if (!header) {
        pending = bytes.slice();
        continue;
      }
      if (header.count * Math.max(header.type.bytes, 4) > maxBytes) throw tooLarge(name, maxBytes);
      values = new Float32Array(header.count);
      at = header.length;
    }
    const whole = Math.floor((bytes.length - at) / header.type.bytes);
    if (bytes.length - at > (header.count - filled) * header.type.bytes) {
      throw bad(name, `holds more bytes than its shape ${shapeText(header)} needs; write the file again`);
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, whole * header.type.bytes);
    convert(view, header, values, filled);
    filled += whole;
    pending = bytes.slice(at + whole * header.type.bytes);
  }
  if (!header) {
    // Shorter than any header: name what is there.
    if (pending.length >= MAGIC.length) throw bad(name, `ends inside its header, at byte ${pending.length}`);
    throw bad(name, pending.length === 0 ? "is empty" : "is not an .npy file (bad magic at byte 0)");
  }
  if (filled < header.count || pending.length > 0) {
    const want = header.count * header.type.bytes;
    const got = filled * header.type.bytes + pending.length;
    throw bad(name, `ends after ${got} of the ${want} data bytes of its shape ${shapeText(header)}`);
  }
  return { dtype: header.type.code, shape: header.shape, values };
}

/**
 * Writes float32 (`<f4`) or uint8 (`|u1`) as `.npy`, gzipped when the path ends in `.gz`.
 * Throws BAD_INPUT when the shape does not hold exactly the array.
 */
export async function writeNpy(
  path: string,
  array: Float32Array | Uint8Array,
  shape: readonly number[],
): Promise<void> {
  if (shape.reduce((a, b) => a * b, 1) !== array.length) {
    throw bad(
      path,
      `the shape (${shape.join(", ")}) does not hold ${array.length} values; pass the array's own`,
    );
  }
  const parts = [encodeNpyHeader(array instanceof Float32Array ? "<f4" : "|u1", shape), littleEndian(array)];
  try {
    if (path.endsWith(".gz")) await pipeline(parts, createGzip(), createWriteStream(path));
    else await pipeline(parts, createWriteStream(path));
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new FleetError("BAD_INPUT", `${path}: can't be written (${why}); check the folder`, { cause });
  }
}

/** The payload as it stands in a little-endian file: float32 or uint8, no copy. Node runs on little-endian machines only. */
export function littleEndian(array: Float32Array | Uint8Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59] as const; // \x93NUMPY
/** A header is a short Python dict; a longer one is damage or an attack. */
const MAX_HEADER_BYTES = 64 * 1024;

interface NpyType {
  readonly code: string;
  readonly bytes: number;
  readonly get: (view: DataView, at: number, little: boolean) => number;
}

const TYPES: readonly NpyType[] = [
  { code: "f4", bytes: 4, get: (v, at, le) => v.getFloat32(at, le) },
  { code: "f8", bytes: 8, get: (v, at, le) => v.getFloat64(at, le) },
  { code: "i1", bytes: 1, get: (v, at) => v.getInt8(at) },
  { code: "i2", bytes: 2, get: (v, at, le) => v.getInt16(at, le) },
  { code: "i4", bytes: 4, get: (v, at, le) => v.getInt32(at, le) },
  { code: "i8", bytes: 8, get: (v, at, le) => Number(v.getBigInt64(at, le)) },
  { code: "u1", bytes: 1, get: (v, at) => v.getUint8(at) },
  { code: "u2", bytes: 2, get: (v, at, le) => v.getUint16(at, le) },
  { code: "u4", bytes: 4, get: (v, at, le) => v.getUint32(at, le) },
  { code: "b1", bytes: 1, get: (v, at) => (v.getUint8(at) === 0 ? 0 : 1) },
];

interface Header {
  readonly type: NpyType;
  readonly little: boolean;
  readonly fortran: boolean;
  readonly shape: readonly number[];
  readonly count: number;
  /** Bytes before the data. */
  readonly length: number;
}

/** undefined = more bytes are needed. */
function parseHeader(bytes: Uint8Array, name: string): Header | undefined {
  for (let i = 0; i < Math.min(MAGIC.length, bytes.length); i++) {
    if (bytes[i] !== MAGIC[i]) {
      const hint = bytes[0] === 0x1f && bytes[1] === 0x8b ? "; it is gzip data, so name it .npy.gz" : "";
      throw bad(name, `is not an .npy file (bad magic at byte ${i})${hint}`);
    }
  }
  if (bytes.length < 12) return undefined;
  const version = bytes[6]!;
  if (version < 1 || version > 3) {
    throw bad(name, `has .npy format version ${version} at byte 6; save it with format version 1, 2 or 3`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = version === 1 ? 10 : 12;
  const textBytes = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (textBytes > MAX_HEADER_BYTES) {
    throw bad(
      name,
      `announces a header of ${textBytes} bytes at byte 8; the file is damaged, fetch it again`,
    );
  }
  if (bytes.length < start + textBytes) return undefined;
  const text = new TextDecoder(version === 3 ? "utf-8" : "latin1").decode(
    bytes.subarray(start, start + textBytes),
  );
  return { ...parseDict(text, name), length: start + textBytes };
}

function parseDict(text: string, name: string): Omit<Header, "length"> {
  const descr = /['"]descr['"]\s*:\s*(?:['"]([^'"]*)['"]|(\[))/.exec(text);
  const order = /['"]fortran_order['"]\s*:\s*(True|False)/.exec(text);
  const shapeMatch = /['"]shape['"]\s*:\s*\(([\d\s,]*)\)/.exec(text);
  if (!descr) throw bad(name, "has no key 'descr' in its header; save it again with numpy.save");
  if (!order) throw bad(name, "has no key 'fortran_order' in its header; save it again with numpy.save");
  if (!shapeMatch) throw bad(name, "has no key 'shape' in its header; save it again with numpy.save");
  const spelt = descr[1] ?? "structured";
  const type = TYPES.find((t) => t.code === spelt.replace(/^[<>|=]/, ""));
  if (!type) {
    const known = TYPES.map((t) => t.code).join(", ");
    throw bad(name, `has dtype '${spelt}' (key 'descr'); convert it to one of ${known}`);
  }
  const shape = shapeMatch[1]!
    .split(",")
    .filter((part) => part.trim() !== "")
    .map(Number);
  const count = shape.reduce((a, b) => a * b, 1);
  if (!Number.isSafeInteger(count)) throw bad(name, `has an impossible shape (${shape.join(", ")})`);
  const fortran = order[1] === "True" && shape.length > 1;
  if (fortran && shape.length > 2) {
    throw bad(name, `is in Fortran order with ${shape.length} dimensions; save numpy.ascontiguousarray(x)`);
  }
  return { type, little: !spelt.startsWith(">"), fortran, shape, count };
}

function convert(view: DataView, header: Header, out: Float32Array, filled: number): void {
  const { type, little, fortran } = header;
  const [rows = 1, columns = 1] = header.shape;
  const count = view.byteLength / type.bytes;
  if (type.code === "f4" && little && !fortran) {
    // What nearly every file is: the bytes are already the numbers.
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    new Uint8Array(out.buffer).set(bytes, filled * type.bytes);
    return;
  }
  for (let i = 0; i < count; i++) {
    const k = filled + i;
    // Fortran order counts down the rows first: element k is at row k % rows.
    const to = fortran ? (k % rows) * columns + Math.floor(k / rows) : k;
    out[to] = type.get(view, i * type.bytes, little);
  }
}

function encodeNpyHeader(descr: string, shape: readonly number[]): Uint8Array {
  const dims = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const dict = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${dims}), }`;
  // The specification asks that the data start at a multiple of 64, and that the header end in a newline.
  const length = Math.ceil((10 + dict.length + 1) / 64) * 64;
  const out = Buffer.alloc(length, " ");
  out.set(MAGIC, 0);
  out.set([1, 0], 6);
  out.writeUInt16LE(length - 10, 8);
  out.write(dict, 10, "latin1");
  out[length - 1] = 0x0a;
  return out;
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

function shapeText(header: Header): string {
  return `(${header.shape.join(", ")})`;
}

function bad(name: string, what: string): FleetError {
  return new FleetError("BAD_INPUT", `${name}: ${what}`);
}
