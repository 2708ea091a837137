import type { Sha256 } from "../protocol/ids.ts";

/** Large immutable bytes by their sha256: updates and versions. Files now, an object store later. */
export interface Blobs {
  /** Durable when it resolves; putting what is there already costs no second copy. */
  put(bytes: Uint8Array): Promise<Sha256>;
  /** Throws NOT_FOUND, or CORRUPT where the stored bytes no longer have their hash. */
  get(sha256: Sha256): Promise<Uint8Array>;
  has(sha256: Sha256): Promise<boolean>;
  /** Removing what is not there is no error. */
  remove(sha256: Sha256): Promise<void>;
  list(): Promise<readonly Sha256[]>;
}
