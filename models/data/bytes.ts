import { createReadStream } from "node:fs";
import { pipeline, type Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { FleetError } from "../../protocol/errors.ts";

/** More than any file that an agent can train on in its memory; it is what stops a gzip bomb. */
export const DEFAULT_MAX_BYTES = 512 * 1024 * 1024;

export interface ReadLimits {
  /** Most bytes after decompression. */
  readonly maxBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The bytes of a file, chunk by chunk, decompressed when its name ends in `.gz`.
 * Throws BAD_INPUT for a file that is not there, damaged gzip, and more than `maxBytes`; ABORTED on the signal.
 */
export async function* fileChunks(path: string, limits: ReadLimits = {}): AsyncGenerator<Uint8Array> {
  const maxBytes = limits.maxBytes ?? DEFAULT_MAX_BYTES;
  const file = createReadStream(path, limits.signal ? { signal: limits.signal } : {});
  // The callback is there because pipeline asks for one: the loop below sees the same error.
  const source: Readable = path.endsWith(".gz") ? pipeline(file, createGunzip(), () => {}) : file;
  let total = 0;
  try {
    for await (const chunk of source as AsyncIterable<Uint8Array>) {
      total += chunk.length;
      if (total > maxBytes) throw tooLarge(path, maxBytes);
      yield chunk;
    }
  } catch (cause) {
    throw readError(path, total, cause);
  } finally {
    source.destroy();
    file.destroy();
  }
}

/** The whole file, as `fileChunks` reads it. */
export async function fileBytes(path: string, limits: ReadLimits = {}): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of fileChunks(path, limits)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export function tooLarge(name: string, maxBytes: number): FleetError {
  return new FleetError(
    "BAD_INPUT",
    `${name}: holds more than ${maxBytes} bytes; raise maxBytes or split it`,
  );
}

function readError(path: string, offset: number, cause: unknown): unknown {
  if (cause instanceof FleetError) return cause;
  const code = (cause as NodeJS.ErrnoException).code ?? "";
  const bad = (what: string) => new FleetError("BAD_INPUT", `${path}: ${what}`, { cause });
  if (code === "ABORT_ERR") return new FleetError("ABORTED", `${path}: reading was stopped`, { cause });
  if (code === "ENOENT") return bad("there is no such file; check the path");
  if (code === "EISDIR") return bad("is a folder; name a file in it");
  if (code === "EACCES") return bad("may not be read; check the file's permissions");
  if (code === "Z_BUF_ERROR")
    return bad(`the gzip data ends early, after ${offset} bytes of content; fetch the file again`);
  if (code.startsWith("Z_")) {
    return bad(`damaged gzip data after ${offset} bytes of content; fetch the file again`);
  }
  return bad(`can't be read (${code || String(cause)}); check the disk`);
}
