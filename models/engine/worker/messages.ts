import { z } from "zod";

/** Told to the thread as it starts, so that a script that runs threads of several kinds knows which one this is. */
export const ENGINE_ROLE = "starling-engine";

export const Method = z.enum([
  "weights",
  "setWeights",
  "fit",
  "predict",
  "predictAll",
  "evaluate",
  "summary",
]);
export type Method = z.infer<typeof Method>;

const id = z.int().nonnegative();

/** From the client to the thread. `id` numbers the calls; every call is answered once. */
export const Request = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("compile"), id, topology: z.unknown(), options: z.unknown() }),
  z.object({ kind: z.literal("call"), id, model: id, method: Method, args: z.array(z.unknown()) }),
  z.object({ kind: z.literal("dispose"), model: id }),
  /** Ends the fit that has this id. */
  z.object({ kind: z.literal("abort"), id }),
]);
export type Request = z.infer<typeof Request>;

/** From the thread to the client. */
export const Answer = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("done"), id, value: z.unknown() }),
  z.object({ kind: z.literal("failed"), id, code: z.string(), message: z.string() }),
  z.object({ kind: z.literal("event"), id, event: z.enum(["epoch", "batch"]), value: z.unknown() }),
]);
export type Answer = z.infer<typeof Answer>;

/** What the client says of its callbacks, as functions cannot be posted. */
export interface Wanted {
  readonly epochs: boolean;
  readonly batches: boolean;
}
