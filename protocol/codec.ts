import { Decoder, Encoder } from "@msgpack/msgpack";
import { z } from "zod";
import { FleetError } from "./errors.ts";
import { limits } from "./limits.ts";
import { scan } from "./scan.ts";

export interface CodecLimits {
  readonly maxBytes?: number;
  readonly maxItems?: number;
}

/** The msgpack form of `value`, which the caller's types already hold to a schema; TOO_LARGE past `maxBytes`. */
export function encode(value: unknown, { maxBytes = limits.controlBytes }: CodecLimits = {}): Uint8Array {
  // A shared encoder may hand out a view of its buffer that the next call overwrites: encode() copies.
  const bytes = new Encoder({ ignoreUndefined: true, maxDepth: limits.depth + 1 }).encode(value);
  if (bytes.length > maxBytes)
    throw new FleetError("TOO_LARGE", `a message of ${bytes.length} bytes is over its limit of ${maxBytes}`);
  return bytes;
}

/**
 * The message in `bytes`, held to `schema`. The bytes are scanned before anything is built from them: with its default limits the
 * decoder can be killed by a 6 KB payload of nested arrays.
 *
 * Throws TOO_LARGE for a message past its limits and BAD_MESSAGE for anything else that is wrong with it.
 */
export function decode<S extends z.ZodType>(
  schema: S,
  bytes: Uint8Array,
  { maxBytes = limits.controlBytes, maxItems = limits.items }: CodecLimits = {},
): z.infer<S> {
  if (bytes.length > maxBytes)
    throw new FleetError("TOO_LARGE", `a message of ${bytes.length} bytes is over its limit of ${maxBytes}`);
  scan(bytes, { maxItems, maxDepth: limits.depth, maxValues: Math.max(limits.values, 2 * maxItems) });
  let value: unknown;
  try {
    value = new Decoder({
      maxArrayLength: maxItems,
      maxMapLength: maxItems,
      maxExtLength: 0,
      maxStrLength: maxBytes,
      maxBinLength: maxBytes,
    }).decode(bytes);
  } catch (cause) {
    throw new FleetError("BAD_MESSAGE", "the message is not msgpack", { cause });
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success)
    throw new FleetError(
      "BAD_MESSAGE",
      `the message is not what its topic asks for: ${firstIssue(parsed.error)}`,
    );
  return parsed.data;
}

/** Where and what the first fault of a parse is, for one-sentence messages: `round: expected number`. */
export function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0];
  if (issue === undefined) return "unknown fault";
  const path = issue.path.map(String).join(".");
  return path === "" ? issue.message : `${path}: ${issue.message}`;
}

/** Bytes carried as one msgpack bin, at most `maxBytes` long. The decoder's view is copied, so it owns its buffer. */
export function bin(maxBytes: number) {
  return z
    .instanceof(Uint8Array)
    .refine((bytes) => bytes.length <= maxBytes, `more than ${maxBytes} bytes`)
    .transform((bytes): Uint8Array => new Uint8Array(bytes));
}
