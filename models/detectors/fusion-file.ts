import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";
import { sha256 } from "../../protocol/hash.ts";
import { levelBases } from "../../protocol/messages.ts";
import { Calibration } from "./calibration.ts";
import { FusionSettings } from "./fusion-settings.ts";

/** What normal rows say of the fused score. */
export const FusionCalibration = z.object({
  threshold: z.number(),
  basis: z.enum(levelBases),
  caution: z.string().exactOptional(),
  tail: Calibration.shape.tail,
  /** Fused scores behind it. */
  rows: z.int().positive(),
  /** The thresholds that the detectors had: a detector that was fitted again has another. */
  thresholds: z.array(z.number()).readonly(),
});
export type FusionCalibration = z.infer<typeof FusionCalibration>;

const Head = z.strictObject({
  settings: FusionSettings,
  calibration: FusionCalibration,
  /** In their order, with the bytes of each detector's file. */
  modalities: z
    .array(z.strictObject({ name: z.string(), bytes: z.int().positive() }))
    .min(1)
    .readonly(),
});

export interface SavedFusion {
  readonly settings: FusionSettings;
  readonly calibration: FusionCalibration;
  readonly detectors: readonly (readonly [name: string, file: Uint8Array])[];
}

/** "SFU1": Starling fusion file, form 1. A later form has another last digit. */
const magic = "SFU";
const form = 1;
const hashAt = 4;
const headLengthAt = hashAt + 32;
const headAt = headLengthAt + 4;

/**
 * Magic (4 bytes), sha256 of all that follows it (32 bytes), length of the head (uint32, big endian), head (JSON, UTF-8), then the detectors' files
 * (detector-file.ts), one after the other.
 */
export function encodeFusion({ settings, calibration, detectors }: SavedFusion): Uint8Array {
  const modalities = detectors.map(([name, file]) => ({ name, bytes: file.length }));
  const head = new TextEncoder().encode(JSON.stringify({ settings, calibration, modalities }));
  const files = Buffer.concat(detectors.map(([, file]) => file));
  const bytes = new Uint8Array(headAt + head.length + files.length);
  bytes.set(new TextEncoder().encode(`${magic}${form}`));
  new DataView(bytes.buffer).setUint32(headLengthAt, head.length);
  bytes.set(head, headAt);
  bytes.set(files, headAt + head.length);
  bytes.set(Buffer.from(sha256(bytes.subarray(headLengthAt)), "hex"), hashAt);
  return bytes;
}

/** Throws BAD_INPUT for bytes that are no fusion file or of another form, CORRUPT for one that is damaged. */
export function decodeFusion(given: Uint8Array): SavedFusion {
  const bytes = new Uint8Array(given);
  const start = String.fromCharCode(...bytes.subarray(0, hashAt));
  if (!start.startsWith(magic))
    throw new FleetError("BAD_INPUT", "these bytes are no fusion file; give what a fusion's save() gave");
  if (start !== `${magic}${form}`)
    throw new FleetError(
      "BAD_INPUT",
      `this is a fusion file of form "${start.slice(magic.length)}", and this Starling reads form ${form}; take the Starling that saved it`,
    );
  const hash = Buffer.from(bytes.subarray(hashAt, headLengthAt)).toString("hex");
  if (bytes.length < headAt || sha256(bytes.subarray(headLengthAt)) !== hash) throw damagedFusion();
  try {
    const length = new DataView(bytes.buffer).getUint32(headLengthAt);
    const { modalities, ...rest } = Head.parse(
      JSON.parse(new TextDecoder().decode(bytes.subarray(headAt, headAt + length))),
    );
    let at = headAt + length;
    const detectors = modalities.map(({ name, bytes: size }) => {
      at += size;
      if (at > bytes.length) throw damagedFusion();
      return [name, bytes.subarray(at - size, at)] as const;
    });
    return { ...rest, detectors };
  } catch (cause) {
    throw damagedFusion(cause);
  }
}

export function damagedFusion(cause?: unknown): FleetError {
  return new FleetError("CORRUPT", "the fusion file is damaged; save the fusion again", { cause });
}
