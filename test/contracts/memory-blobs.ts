import type { Blobs } from "../../coordinator/blobs.ts";
import { FleetError } from "../../protocol/errors.ts";
import { sha256 } from "../../protocol/hash.ts";
import { Sha256 } from "../../protocol/ids.ts";

/** The plainest thing that keeps the Blobs' contract. */
export function openMemoryBlobs(store: Map<Sha256, Uint8Array>): Blobs {
  return {
    async put(bytes) {
      const hash = sha256(bytes);
      store.set(hash, bytes.slice());
      return hash;
    },
    async get(hash) {
      const bytes = store.get(Sha256.parse(hash));
      if (bytes === undefined) throw new FleetError("NOT_FOUND", `there is no blob ${hash}`);
      return bytes;
    },
    has: async (hash) => store.has(hash),
    async remove(hash) {
      store.delete(hash);
    },
    list: async () => [...store.keys()],
  };
}
