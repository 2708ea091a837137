import type { KeyObject } from "node:crypto";
import { z } from "zod";
import type { VersionView } from "../protocol/api.ts";
import { decode } from "../protocol/codec.ts";
import { FleetError } from "../protocol/errors.ts";
import { decodeFrame, type Frame, type VersionHeader } from "../protocol/frame.ts";
import { type SignedManifest, signManifest, VersionManifest } from "../protocol/manifest.ts";
import type { Running } from "../protocol/messages.ts";
import { describe, slice } from "../protocol/transfer.ts";
import type { Blobs } from "./blobs.ts";
import type { Entry, Journal } from "./journal.ts";

/** A version of the global model: its bytes are in the blobs, its signed manifest in the journal. Neither ever changes. */
export interface Version extends Running {
  readonly manifest: VersionManifest;
  readonly signed: SignedManifest;
}

export interface Registry {
  /** The newest version, or undefined before the first. */
  latest(): Version | undefined;
  /** Stores the bytes, signs the manifest and journals it. The same round published again gives the version that it gave first. */
  publish(
    frame: Uint8Array,
    from: { readonly base: string | null; readonly round: number },
  ): Promise<Version>;
  /** Throws NOT_FOUND for a version or chunk that there is none of. */
  chunk(sha256: string, index: number): Promise<Uint8Array>;
  frame(sha256: string): Promise<Frame<VersionHeader>>;
  list(page: {
    readonly limit: number;
    readonly before?: number;
  }): Promise<readonly Omit<VersionView, "installed">[]>;
}

export interface RegistryOptions {
  readonly journal: Journal;
  readonly blobs: Blobs;
  readonly task: string;
  readonly chunkBytes: number;
  readonly key: KeyObject;
  readonly now: () => number;
}

/** How many versions' bytes are kept in memory for devices that pull them. */
const cached = 2;

const Stored = z.object({ manifest: z.base64(), signature: z.base64() });

export async function openRegistry({
  journal,
  blobs,
  task,
  chunkBytes,
  key,
  now,
}: RegistryOptions): Promise<Registry> {
  const stream = `versions/${task}`;
  const bytesBySha = new Map<string, Uint8Array>();
  const [newest] = await journal.read(stream, { newestFirst: true, limit: 1 });
  let latest = newest === undefined ? undefined : fromEntry(newest);

  const bytesOf = async (sha256: string): Promise<Uint8Array> => {
    const known = bytesBySha.get(sha256);
    if (known !== undefined) return known;
    const bytes = await blobs.get(sha256);
    bytesBySha.set(sha256, bytes);
    for (const old of bytesBySha.keys()) {
      if (bytesBySha.size <= cached) break;
      bytesBySha.delete(old);
    }
    return bytes;
  };
  const find = async (sha256: string): Promise<Version> => {
    if (latest?.sha256 === sha256) return latest;
    const [entry] = await journal.read(stream, { label: sha256, limit: 1 });
    if (entry === undefined) throw new FleetError("NOT_FOUND", `task ${task} has no version ${sha256}`);
    return fromEntry(entry);
  };

  return {
    latest: () => latest,
    async publish(frame, { base, round }) {
      if (latest !== undefined && latest.manifest.round === round) return latest;
      const transfer = describe(frame, chunkBytes);
      await blobs.put(frame);
      const number = (latest?.number ?? 0) + 1;
      const manifest: VersionManifest = {
        kind: "version",
        task,
        number,
        base,
        round,
        createdMs: now(),
        transfer,
      };
      const signed = signManifest(manifest, key);
      const value = { manifest: base64(signed.manifest), signature: base64(signed.signature) };
      await journal.write([{ kind: "append", stream, key: String(number), label: transfer.sha256, value }]);
      latest = { number, sha256: transfer.sha256, manifest, signed };
      return latest;
    },
    async chunk(sha256, index) {
      const { manifest } = await find(sha256);
      const chunk = slice(await bytesOf(sha256), manifest.transfer.chunkBytes, index);
      if (chunk.length === 0)
        throw new FleetError("NOT_FOUND", `version ${manifest.number} has no chunk ${index}`);
      return chunk;
    },
    async frame(sha256) {
      const { header, weights } = decodeFrame(await bytesOf(sha256));
      if (header.kind !== "version") throw new FleetError("CORRUPT", `the blob ${sha256} is no version`);
      return { header, weights };
    },
    async list({ limit, before }) {
      const end = before === undefined ? undefined : await journal.find(stream, String(before));
      const older = end === undefined ? {} : { beforeSeq: end.seq };
      const entries = await journal.read(stream, { newestFirst: true, limit, ...older });
      return entries.map(fromEntry).map(({ manifest, number, sha256 }) => ({
        task,
        number,
        sha256,
        base: manifest.base,
        round: manifest.round,
        createdMs: manifest.createdMs,
        bytes: manifest.transfer.size,
      }));
    },
  };
}

function fromEntry(entry: Entry): Version {
  const stored = Stored.parse(entry.value);
  const signed = { manifest: bytes(stored.manifest), signature: bytes(stored.signature) };
  const manifest = decode(VersionManifest, signed.manifest);
  return { number: manifest.number, sha256: manifest.transfer.sha256, manifest, signed };
}

function base64(value: Uint8Array): string {
  return Buffer.from(value).toString("base64");
}

function bytes(value: string): Uint8Array {
  return new Uint8Array(Buffer.from(value, "base64"));
}
