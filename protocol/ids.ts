import { z } from "zod";

/** An id is also an MQTT topic segment, a file name and a certificate's CN, so its alphabet is small. */
export const idPattern = /^[a-z0-9][a-z0-9_-]{0,62}$/;

export const DeviceId = z
  .string()
  .regex(idPattern, "an id has 1 to 63 characters of a-z, 0-9, _ and -, the first a letter or digit");
export type DeviceId = z.infer<typeof DeviceId>;

export const TaskId = DeviceId;
export type TaskId = z.infer<typeof TaskId>;

/** A sha256 digest in lower-case hexadecimal: the name of everything that is addressed by content. */
export const Sha256 = z.string().regex(/^[0-9a-f]{64}$/, "a sha256 is 64 hexadecimal digits");
export type Sha256 = z.infer<typeof Sha256>;

/** A transfer's id: the first 32 hexadecimal digits of the sha256 of its idempotency key. */
export const TransferId = z.string().regex(/^[0-9a-f]{32}$/, "a transfer id is 32 hexadecimal digits");
export type TransferId = z.infer<typeof TransferId>;
