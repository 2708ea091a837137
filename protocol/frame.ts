import { z } from "zod";
import { bin, decode, encode } from "./codec.ts";
import { PreparedChannels } from "./device-channels.ts";
import { FleetError } from "./errors.ts";
import { sha256 } from "./hash.ts";
import { Sha256 } from "./ids.ts";
import { limits } from "./limits.ts";

/** Name and shape of every weight tensor, in the order in which they lie in the flat array (LayersModel order). */
export const Layout = z
  .array(
    z.object({
      name: z.string().max(128),
      shape: z
        .array(
          z
            .int()
            .positive()
            .max(1 << 20),
        )
        .max(8),
    }),
  )
  .min(1)
  .max(limits.items);
export type Layout = readonly { readonly name: string; readonly shape: readonly number[] }[];

export function layoutSize(layout: Layout): number {
  return layout.reduce((sum, { shape }) => sum + shape.reduce((product, d) => product * d, 1), 0);
}

export function sameLayout(a: Layout, b: Layout): boolean {
  return (
    a.length === b.length &&
    a.every((tensor, i) => tensor.name === b[i]!.name && tensor.shape.join() === b[i]!.shape.join())
  );
}

const common = {
  layout: Layout,
  dtype: z.literal("f32"),
  /** sha256 of the weights' bytes, which follow the header. */
  sha256: Sha256,
};

export const FrameHeader = z.discriminatedUnion("kind", [
  /** A device's update: its weights minus those of `base`. */
  z.object({ kind: z.literal("update"), ...common, base: Sha256, samples: z.int().positive() }),
  /** A global model: its weights, the network that they belong to and, where it is federated, the scaler. */
  z.object({
    kind: z.literal("version"),
    ...common,
    /** LayersModel topology, JSON. */
    topology: z.string().max(256 * 1024),
    /** Channel statistics (models/data/scaling) merged over the fleet, or null: each device scales by its own. */
    statistics: bin(limits.statisticsBytes).nullable(),
    /** The channels of the rows that it was made for, where they are prepared from columns of several kinds. */
    prepared: PreparedChannels.exactOptional(),
  }),
]);
export type FrameHeader = z.infer<typeof FrameHeader>;
export type UpdateHeader = Extract<FrameHeader, { kind: "update" }>;
export type VersionHeader = Extract<FrameHeader, { kind: "version" }>;

export interface Frame<H extends FrameHeader = FrameHeader> {
  readonly header: H;
  /** Flat, in layout order. */
  readonly weights: Float32Array;
}

/** "SWF1": Starling weight frame, form 1. */
const magic = 0x53574631;
const prefixBytes = 8;
const headerBytes = 320 * 1024;

/**
 * Magic (4 bytes), length of the header (uint32, big endian), header (msgpack), zero bytes up to a multiple of 4, weights (float32,
 * little endian).
 */
export function encodeFrame<H extends FrameHeader>(
  header: Omit<H, "sha256" | "dtype">,
  weights: Float32Array,
): Uint8Array {
  const body = new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength);
  const head = encode({ ...header, dtype: "f32", sha256: sha256(body) }, { maxBytes: headerBytes });
  const bodyAt = align4(prefixBytes + head.length);
  const frame = new Uint8Array(bodyAt + body.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, magic);
  view.setUint32(4, head.length);
  frame.set(head, prefixBytes);
  frame.set(body, bodyAt);
  return frame;
}

/** Throws BAD_MESSAGE, TOO_LARGE, BAD_SHAPE (length and layout disagree), BAD_HASH or NOT_FINITE. */
export function decodeFrame(bytes: Uint8Array): Frame {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < prefixBytes || view.getUint32(0) !== magic)
    throw new FleetError("BAD_MESSAGE", "these bytes are no weight frame");
  const headLength = view.getUint32(4);
  if (headLength > headerBytes || prefixBytes + headLength > bytes.length) {
    throw new FleetError(
      "TOO_LARGE",
      `the weight frame announces a header of ${headLength} bytes, more than it can have`,
    );
  }
  const header = decode(FrameHeader, bytes.subarray(prefixBytes, prefixBytes + headLength), {
    maxBytes: headerBytes,
  });
  // A copy: float32 needs an aligned start, and the slice of a Buffer would be a view.
  const body = new Uint8Array(bytes.subarray(align4(prefixBytes + headLength)));
  const expected = layoutSize(header.layout) * 4;
  if (body.length !== expected) {
    throw new FleetError(
      "BAD_SHAPE",
      `the weights have ${body.length} bytes, their layout asks for ${expected}`,
    );
  }
  if (sha256(body) !== header.sha256)
    throw new FleetError("BAD_HASH", "the weights do not have the sha256 of their frame");
  const weights = new Float32Array(body.buffer, body.byteOffset, body.length / 4);
  if (!allFinite(weights)) throw new FleetError("NOT_FINITE", "the weights hold NaN or infinite values");
  return { header, weights };
}

export function allFinite(values: Float32Array): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false;
  return true;
}

function align4(n: number): number {
  return (n + 3) & ~3;
}
