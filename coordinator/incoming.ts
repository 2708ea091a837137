import { mkdir, open, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { decode, encode } from "../protocol/codec.ts";
import { FleetError } from "../protocol/errors.ts";
import { sha256 } from "../protocol/hash.ts";
import { Offer } from "../protocol/messages.ts";
import {
  addChunk,
  type ChunkSet,
  chunkCount,
  chunksMissing,
  hasChunk,
  noChunks,
  slice,
  verifyChunk,
} from "../protocol/transfer.ts";

/**
 * Updates that are under way, one a device, as files: `{device}/offer` and `{device}/part`. What is held in memory is one bit a chunk. After a
 * restart the bits are found again by hashing the part, so a chunk needs no record of its own: only what an ack has named must be there.
 */
export interface Incoming {
  /** Opens the transfer, or goes on with it where it is the one that is under way. The chunks that are there. */
  open(device: string, offer: Offer): Promise<ChunkSet>;
  /** The offer of the device's transfer `xfer`, or undefined where that is not under way. */
  offer(device: string, xfer: string): Promise<Offer | undefined>;
  /** Throws BAD_HASH for a damaged chunk, which changes nothing. `complete` once every chunk is there. */
  add(
    device: string,
    index: number,
    data: Uint8Array,
  ): Promise<{ readonly have: ChunkSet; readonly complete: boolean }>;
  /** The bytes of a complete transfer. Throws BAD_HASH where they are not what was announced. */
  bytes(device: string): Promise<Uint8Array>;
  drop(device: string): Promise<void>;
}

interface Transfer {
  readonly offer: Offer;
  readonly have: ChunkSet;
}

export function openIncoming(dir: string): Incoming {
  const transfers = new Map<string, Transfer>();
  const folder = (device: string) => join(dir, device);
  const part = (device: string) => join(dir, device, "part");

  const find = async (device: string): Promise<Transfer | undefined> => {
    const known = transfers.get(device);
    if (known !== undefined) return known;
    const names = await readdir(folder(device)).catch(() => [] as string[]);
    if (!names.includes("offer") || !names.includes("part")) return undefined;
    const offer = decode(Offer, await readFile(join(folder(device), "offer")));
    const transfer = { offer, have: await survey(offer, part(device)) };
    transfers.set(device, transfer);
    return transfer;
  };

  const need = async (device: string): Promise<Transfer> => {
    const transfer = await find(device);
    if (transfer === undefined)
      throw new FleetError("NOT_FOUND", "no transfer of this device is under way: offer it first");
    return transfer;
  };

  return {
    async open(device, offer) {
      const known = await find(device);
      if (known?.offer.xfer === offer.xfer) return known.have;
      await rm(folder(device), { recursive: true, force: true });
      await mkdir(folder(device), { recursive: true });
      await writeFile(part(device), "");
      // The offer's name appears last: a folder without it is no transfer.
      await writeFile(join(folder(device), "offer.new"), encode(offer));
      await rename(join(folder(device), "offer.new"), join(folder(device), "offer"));
      const transfer = { offer, have: noChunks(chunkCount(offer.manifest)) };
      transfers.set(device, transfer);
      return transfer.have;
    },
    async offer(device, xfer) {
      const transfer = await find(device);
      return transfer?.offer.xfer === xfer ? transfer.offer : undefined;
    },
    async add(device, index, data) {
      const { offer, have } = await need(device);
      const { manifest } = offer;
      const complete = () => chunksMissing(have, chunkCount(manifest)) === 0;
      if (index < chunkCount(manifest) && hasChunk(have, index)) return { have, complete: complete() };
      verifyChunk(manifest, index, data);
      const file = await open(part(device), "r+");
      try {
        await file.write(data, 0, data.length, index * manifest.chunkBytes);
      } finally {
        await file.close();
      }
      addChunk(have, index);
      return { have, complete: complete() };
    },
    async bytes(device) {
      const { offer } = await need(device);
      const bytes = new Uint8Array(await readFile(part(device)));
      if (sha256(bytes) !== offer.manifest.sha256) {
        throw new FleetError(
          "BAD_HASH",
          "the update's bytes do not have the announced sha256; it must be sent again",
        );
      }
      return bytes;
    },
    async drop(device) {
      transfers.delete(device);
      await rm(folder(device), { recursive: true, force: true });
    },
  };
}

/** Which chunks of a part file are whole. */
async function survey({ manifest }: Offer, path: string): Promise<ChunkSet> {
  const bytes = new Uint8Array(await readFile(path));
  const have = noChunks(chunkCount(manifest));
  for (let index = 0; index < chunkCount(manifest); index++) {
    try {
      verifyChunk(manifest, index, slice(bytes, manifest.chunkBytes, index));
      addChunk(have, index);
    } catch (error) {
      if (!(error instanceof FleetError)) throw error; // BAD_HASH: not there yet, or cut off by the end of the process
    }
  }
  return have;
}
