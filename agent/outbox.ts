import { mkdir, open, readdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { decode, encode } from "../protocol/codec.ts";
import { limits } from "../protocol/limits.ts";
import { Offer, TransferAck } from "../protocol/messages.ts";
import { readOrSetAside, writeDurably } from "./durable.ts";
import type { Log } from "./log.ts";

/** An update and how it ended: `outcome` is null until the coordinator has stored or refused it. */
export const OutboxEntry = z.object({
  offer: Offer,
  outcome: TransferAck.pick({ code: true, message: true })
    .extend({ state: z.enum(["stored", "refused"]) })
    .nullable(),
});
export type OutboxEntry = z.infer<typeof OutboxEntry>;

/** The last update on disk, with its offer, before the first byte of it is sent. A newer one takes its place. */
export interface Outbox {
  readonly entry: OutboxEntry | undefined;
  /** Durable when it resolves. */
  put(offer: Offer, bytes: Uint8Array): Promise<void>;
  /** The entry stays, so that the same invitation again finds how it ended; its bytes go once they were refused. */
  end(outcome: NonNullable<OutboxEntry["outcome"]>): Promise<void>;
  /** It is to be sent after all. */
  reopen(): Promise<void>;
  drop(): Promise<void>;
  /** Chunk `index` of the update. */
  chunk(index: number): Promise<Uint8Array>;
}

const entryBytes = limits.controlBytes + 4096;

export async function openOutbox(options: {
  readonly dir: string;
  readonly damagedDir: string;
  readonly log: Log;
}): Promise<Outbox> {
  const { dir, damagedDir, log } = options;
  await mkdir(dir, { recursive: true });
  const entryPath = join(dir, "entry");
  const bytesPath = (xfer: string) => join(dir, `${xfer}.frame`);
  const parse = (bytes: Uint8Array) => decode(OutboxEntry, bytes, { maxBytes: entryBytes });
  let entry = await readOrSetAside(entryPath, { parse, damagedDir, log });

  const write = async (next: OutboxEntry) => {
    await writeDurably(entryPath, encode(next, { maxBytes: entryBytes }));
    entry = next;
  };
  const sweep = async (keep: string | undefined) => {
    for (const name of await readdir(dir))
      if (name.endsWith(".frame") && name !== `${keep}.frame`) await unlink(join(dir, name));
  };

  return {
    get entry() {
      return entry;
    },
    async put(offer, bytes) {
      // The entry's name is the commit: bytes without it are swept away by the next update.
      await writeDurably(bytesPath(offer.xfer), bytes);
      await write({ offer, outcome: null });
      await sweep(offer.xfer);
    },
    async end(outcome) {
      if (entry === undefined) return;
      await write({ ...entry, outcome });
      if (outcome.state === "refused") await sweep(undefined);
    },
    async reopen() {
      if (entry !== undefined) await write({ ...entry, outcome: null });
    },
    async drop() {
      if (entry === undefined) return;
      entry = undefined;
      await unlink(entryPath);
      await sweep(undefined);
    },
    async chunk(index) {
      const { xfer, manifest } = entry!.offer;
      const length = Math.min(manifest.chunkBytes, manifest.size - index * manifest.chunkBytes);
      const data = new Uint8Array(length);
      const file = await open(bytesPath(xfer), "r");
      try {
        await file.read(data, 0, length, index * manifest.chunkBytes);
      } finally {
        await file.close();
      }
      return data;
    },
  };
}
