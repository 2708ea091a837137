import { FleetError } from "../../protocol/errors.ts";
import { sizeOf } from "../engine/shape.ts";
import { DEFAULT_MAX_BYTES, fileChunks, type ReadLimits, tooLarge } from "./bytes.ts";

export interface IdxArray {
  readonly shape: readonly number[];
  /** In C order. */
  readonly values: Uint8Array;
}

const HEADER_BYTES = 4;
const UNSIGNED_BYTE = 0x08;
const MAX_AXES = 4;

/**
 * Reads an IDX file of unsigned bytes (images, labels), as MNIST has them, also gzipped (`.gz`). Throws BAD_INPUT with the file and the byte that is
 * wrong. Source: LeCun, Cortes & Burges, "The MNIST database of handwritten digits", file formats: two zero bytes, a type, the number of axes, then
 * each axis' size as a big-endian 32-bit integer, then the values.
 */
export async function readIdx(path: string, limits: ReadLimits = {}): Promise<IdxArray> {
  const maxBytes = limits.maxBytes ?? DEFAULT_MAX_BYTES;
  const chunks: Uint8Array[] = [];
  for await (const chunk of fileChunks(path, limits)) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  const axes = bytes[3] ?? 0;
  if (bytes.length < HEADER_BYTES || bytes[0] !== 0 || bytes[1] !== 0 || axes < 1 || axes > MAX_AXES)
    throw bad(path, "is not an IDX file (bad magic at byte 0); images and labels of MNIST have this form");
  if (bytes[2] !== UNSIGNED_BYTE)
    throw bad(
      path,
      `holds values of type 0x${bytes[2]!.toString(16)} (byte 2); only unsigned bytes (0x8) are read`,
    );
  const start = HEADER_BYTES + 4 * axes;
  if (bytes.length < start) throw bad(path, `ends inside its header, at byte ${bytes.length}`);
  const shape = Array.from({ length: axes }, (_, axis) => bytes.readUInt32BE(HEADER_BYTES + 4 * axis));
  const count = sizeOf(shape);
  if (count > maxBytes) throw tooLarge(path, maxBytes);
  if (bytes.length - start !== count)
    throw bad(
      path,
      `holds ${bytes.length - start} values, its shape (${shape.join(", ")}) needs ${count}; fetch it again`,
    );
  return { shape, values: new Uint8Array(bytes.buffer, bytes.byteOffset + start, count) };
}

function bad(path: string, what: string): FleetError {
  return new FleetError("BAD_INPUT", `${path}: ${what}`);
}
