import { createHash } from "node:crypto";
import { z } from "zod";
import { bin } from "./codec.ts";
import { FleetError } from "./errors.ts";
import { sha256 } from "./hash.ts";
import { Sha256 } from "./ids.ts";
import { limits } from "./limits.ts";

const hashBytes = 32;

/** What is sent, before it is sent: every chunk's hash is known, so a damaged chunk is seen at once and only it is sent again. */
export const TransferManifest = z
  .object({
    size: z
      .int()
      .positive()
      .max(limits.chunks * limits.chunkBytes),
    sha256: Sha256,
    chunkBytes: z.int().min(64).max(limits.chunkBytes),
    /** sha256 of every chunk, 32 bytes each. */
    hashes: bin(limits.chunks * hashBytes),
  })
  .refine(
    (m) => m.hashes.length === Math.ceil(m.size / m.chunkBytes) * hashBytes,
    "one hash for every chunk",
  );
export type TransferManifest = z.infer<typeof TransferManifest>;

/** Throws TOO_LARGE where `bytes` needs more than `limits.chunks` chunks. */
export function describe(bytes: Uint8Array, chunkBytes: number): TransferManifest {
  const chunks = Math.ceil(bytes.length / chunkBytes);
  if (chunks > limits.chunks) {
    throw new FleetError(
      "TOO_LARGE",
      `${bytes.length} bytes in chunks of ${chunkBytes} are ${chunks} chunks, over the limit of ${limits.chunks}: raise chunkBytes`,
    );
  }
  const hashes = new Uint8Array(chunks * hashBytes);
  for (let i = 0; i < chunks; i++) hashes.set(digest(slice(bytes, chunkBytes, i)), i * hashBytes);
  return { size: bytes.length, sha256: sha256(bytes), chunkBytes, hashes };
}

export function chunkCount(manifest: TransferManifest): number {
  return manifest.hashes.length / hashBytes;
}

/** Chunk `index` of `bytes`, a view. */
export function slice(bytes: Uint8Array, chunkBytes: number, index: number): Uint8Array {
  return bytes.subarray(index * chunkBytes, Math.min((index + 1) * chunkBytes, bytes.length));
}

/** Throws BAD_HASH where `data` is not chunk `index` of the announced bytes. */
export function verifyChunk(manifest: TransferManifest, index: number, data: Uint8Array): void {
  const want = manifest.hashes.subarray(index * hashBytes, (index + 1) * hashBytes);
  const got = digest(data);
  if (index >= chunkCount(manifest) || want.some((byte, i) => byte !== got[i])) {
    throw new FleetError(
      "BAD_HASH",
      `chunk ${index} is not what its manifest announced; it must be sent again`,
    );
  }
}

// ---- which chunks are there ----

/** One bit a chunk, least significant bit first: the form of `have` in an ack. */
export type ChunkSet = Uint8Array;

export function noChunks(count: number): ChunkSet {
  return new Uint8Array(Math.ceil(count / 8));
}

export function hasChunk(set: ChunkSet, index: number): boolean {
  return ((set[index >> 3] ?? 0) & (1 << (index & 7))) !== 0;
}

export function addChunk(set: ChunkSet, index: number): void {
  set[index >> 3]! |= 1 << (index & 7);
}

export function chunksMissing(set: ChunkSet, count: number): number {
  let missing = 0;
  for (let i = 0; i < count; i++) if (!hasChunk(set, i)) missing += 1;
  return missing;
}

/** Collects the chunks of one transfer in any order, any number of times. `bytes()` is there once none is missing. */
export interface Assembly {
  readonly manifest: TransferManifest;
  readonly have: ChunkSet;
  /** `duplicate` costs nothing; throws BAD_HASH for a chunk that is damaged or not part of the transfer. */
  add(index: number, data: Uint8Array): "added" | "duplicate";
  complete(): boolean;
  /** Throws BAD_HASH where the whole does not have the announced sha256: then the transfer must start again. */
  bytes(): Uint8Array;
}

export function assemble(manifest: TransferManifest): Assembly {
  const count = chunkCount(manifest);
  const have = noChunks(count);
  const bytes = new Uint8Array(manifest.size);
  let missing = count;
  return {
    manifest,
    have,
    add(index, data) {
      if (index < count && hasChunk(have, index)) return "duplicate";
      verifyChunk(manifest, index, data);
      bytes.set(data, index * manifest.chunkBytes);
      addChunk(have, index);
      missing -= 1;
      return "added";
    },
    complete: () => missing === 0,
    bytes() {
      if (missing > 0) throw new FleetError("NOT_FOUND", `${missing} of ${count} chunks are still missing`);
      if (sha256(bytes) !== manifest.sha256) {
        throw new FleetError(
          "BAD_HASH",
          "the assembled bytes do not have the announced sha256; the transfer must start again",
        );
      }
      return bytes;
    },
  };
}

function digest(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(bytes).digest();
}
