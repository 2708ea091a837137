import { mkdir, open, readdir, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import { type DeviceChannels, unlikeChannels } from "../protocol/device-channels.ts";
import { FleetError } from "../protocol/errors.ts";
import { decodeFrame, type Frame, type VersionHeader } from "../protocol/frame.ts";
import { sha256 } from "../protocol/hash.ts";
import type { Sha256 } from "../protocol/ids.ts";
import { type Assembly, assemble, chunkCount, slice, type TransferManifest } from "../protocol/transfer.ts";
import { readIfThere, setAside, syncFolder, writeDurably } from "./durable.ts";
import type { Log } from "./log.ts";

/**
 * Versions on disk: `{sha256}.frame` whole and checked, `{sha256}.part` while it is being pulled, `{sha256}.{sha256 of its bytes}.weights` what the device has
 * made of it (float32, little endian, in the frame's layout).
 */
export interface Versions {
  /** The frame, or undefined where it is not there. A damaged one is moved aside. */
  read(sha256: Sha256): Promise<Frame<VersionHeader> | undefined>;
  /** Starts or goes on with a pull. */
  begin(manifest: TransferManifest): Promise<Pulling>;
  /** Keeps the weights that the device has made of a version. Durable when it resolves, with their hash, by which they are read. */
  savePersonal(version: Sha256, weights: Float32Array): Promise<Sha256>;
  /** Undefined where they are not there. Damaged ones are moved aside. */
  readPersonal(version: Sha256, weights: Sha256): Promise<Float32Array | undefined>;
  /** Removes all but these, and what was made of the others. */
  keepOnly(shas: readonly Sha256[]): Promise<void>;
}

export interface Pulling extends Pick<Assembly, "have" | "complete"> {
  /** Throws BAD_HASH for a damaged chunk. */
  add(index: number, data: Uint8Array): Promise<void>;
  /** Makes the whole file the version. Throws BAD_HASH; then nothing of it is kept. */
  finish(): Promise<void>;
  close(): Promise<void>;
}

export async function openVersions(options: {
  readonly dir: string;
  readonly damagedDir: string;
  readonly log: Log;
}): Promise<Versions> {
  const { dir, damagedDir, log } = options;
  await mkdir(dir, { recursive: true });
  const framePath = (sha: Sha256) => join(dir, `${sha}.frame`);
  const personalPath = (version: Sha256, weights: Sha256) => join(dir, `${version}.${weights}.weights`);

  return {
    async read(sha) {
      const bytes = await readIfThere(framePath(sha));
      if (bytes === undefined) return undefined;
      if (sha256(bytes) === sha) return versionFrame(bytes);
      await setAside(framePath(sha), damagedDir);
      log.warn(
        { code: "CORRUPT", sha256: sha },
        "a stored version is damaged; it was moved aside and is fetched again",
      );
      return undefined;
    },
    async begin(manifest) {
      const part = join(dir, `${manifest.sha256}.part`);
      const assembly = assemble(manifest);
      const before = await readIfThere(part);
      if (before !== undefined) takeWhole(assembly, before);
      const file = await open(part, before === undefined ? "w" : "r+");
      return {
        have: assembly.have,
        complete: assembly.complete,
        async add(index, data) {
          if (assembly.add(index, data) === "added")
            await file.write(data, 0, data.length, index * manifest.chunkBytes);
        },
        async finish() {
          try {
            assembly.bytes();
          } catch (error) {
            await unlink(part);
            throw error;
          }
          await file.sync();
          await rename(part, framePath(manifest.sha256));
          await syncFolder(dir);
        },
        close: () => file.close(),
      };
    },
    async savePersonal(version, weights) {
      const bytes = new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength);
      const hash = sha256(bytes);
      await writeDurably(personalPath(version, hash), bytes);
      return hash;
    },
    async readPersonal(version, weights) {
      const path = personalPath(version, weights);
      const bytes = await readIfThere(path);
      if (bytes === undefined) return undefined;
      if (sha256(bytes) === weights) return new Float32Array(bytes.slice().buffer);
      await setAside(path, damagedDir);
      log.warn({ code: "CORRUPT", sha256: version }, "the personal model is damaged; it was moved aside");
      return undefined;
    },
    async keepOnly(shas) {
      for (const name of await readdir(dir))
        if (!shas.some((sha) => name.startsWith(sha))) await unlink(join(dir, name));
    },
  };
}

/** Throws as decodeFrame does, and BAD_MESSAGE where the frame is an update. */
export function versionFrame(bytes: Uint8Array): Frame<VersionHeader> {
  const { header, weights } = decodeFrame(bytes);
  if (header.kind !== "version")
    throw new FleetError("BAD_MESSAGE", "the frame is an update, not a version that could be installed");
  return { header, weights };
}

/** What was pulled before a restart: every chunk is proven by its hash, so no record of them is needed. */
function takeWhole(assembly: Assembly, bytes: Uint8Array): void {
  const { manifest } = assembly;
  for (let index = 0; index < chunkCount(manifest); index++) {
    try {
      assembly.add(index, slice(bytes, manifest.chunkBytes, index));
    } catch (error) {
      if (!(error instanceof FleetError)) throw error; // BAD_HASH: not there yet, or cut off
    }
  }
}

/** Throws BAD_SHAPE where a version is for rows that are prepared in another way. */
export function checkChannels(
  { header }: Frame<VersionHeader>,
  { channels, prepared }: DeviceChannels,
): void {
  const made = { channels, prepared: header.prepared };
  const problem = unlikeChannels({ channels, prepared }, made, { own: "the device", other: "the version" });
  if (problem !== undefined) throw new FleetError("BAD_SHAPE", problem);
}
