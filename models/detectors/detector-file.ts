import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";
import { decodeFrame, encodeFrame, type Layout, type VersionHeader } from "../../protocol/frame.ts";
import { sha256 } from "../../protocol/hash.ts";
import { detectorNames } from "../../protocol/task.ts";
import { Calibration } from "./calibration.ts";
import { DetectorSettings } from "./detector-settings.ts";

const Head = z.strictObject({
  name: z.enum(detectorNames),
  settings: DetectorSettings,
  names: z.array(z.string()).min(1).readonly(),
  calibration: Calibration,
  /** Training samples behind the weights, and how often it was trained. */
  samples: z.int().positive(),
  fits: z.int().positive(),
});

/** A fitted detector, whole: what it takes to score the same rows to the same bits on another machine. */
export interface SavedDetector extends z.infer<typeof Head> {
  /** JSON, as a version carries it. */
  readonly topology: string;
  readonly layout: Layout;
  readonly weights: Float32Array;
}

/** "SDF1": Starling detector file, form 1. A later form has another last digit. */
const magic = "SDF";
const form = 1;
const hashAt = 4;
const headLengthAt = hashAt + 32;
const headAt = headLengthAt + 4;

/**
 * Magic (4 bytes), sha256 of all that follows it (32 bytes), length of the head (uint32, big endian), head (JSON, UTF-8), then the weights with their network as
 * the frame of a version (protocol/frame.ts). All numbers survive to the bit: JSON keeps float64, the frame float32.
 */
export function encodeDetector({ topology, layout, weights, ...head }: SavedDetector): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(head));
  const tensors = layout.map(({ name, shape }) => ({ name, shape: [...shape] }));
  const frame = encodeFrame<VersionHeader>(
    { kind: "version", layout: tensors, topology, statistics: null },
    weights,
  );
  const bytes = new Uint8Array(headAt + text.length + frame.length);
  bytes.set(new TextEncoder().encode(`${magic}${form}`));
  new DataView(bytes.buffer).setUint32(headLengthAt, text.length);
  bytes.set(text, headAt);
  bytes.set(frame, headAt + text.length);
  bytes.set(Buffer.from(sha256(bytes.subarray(headLengthAt)), "hex"), hashAt);
  return bytes;
}

/** Throws BAD_INPUT for bytes that are no detector file or of another form, CORRUPT for one that is damaged. */
export function decodeDetector(given: Uint8Array): SavedDetector {
  // A Buffer's slices are views, and floats must lie at multiples of four.
  const bytes = new Uint8Array(given);
  const start = String.fromCharCode(...bytes.subarray(0, hashAt));
  if (!start.startsWith(magic))
    throw new FleetError("BAD_INPUT", "these bytes are no detector file; give what a detector's save() gave");
  if (start !== `${magic}${form}`)
    throw new FleetError(
      "BAD_INPUT",
      `this is a detector file of form "${start.slice(magic.length)}", and this Starling reads form ${form}; take the Starling that saved it`,
    );
  const hash = Buffer.from(bytes.subarray(hashAt, headLengthAt)).toString("hex");
  if (bytes.length < headAt || sha256(bytes.subarray(headLengthAt)) !== hash) throw damaged();
  try {
    const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(headLengthAt);
    const head = Head.parse(JSON.parse(new TextDecoder().decode(bytes.subarray(headAt, headAt + length))));
    const { header, weights } = decodeFrame(bytes.subarray(headAt + length));
    if (header.kind !== "version") throw damaged();
    return { ...head, topology: header.topology, layout: header.layout, weights };
  } catch (cause) {
    throw damaged(cause);
  }
}

export function damaged(cause?: unknown): FleetError {
  return new FleetError("CORRUPT", "the detector file is damaged; save the detector again", { cause });
}
