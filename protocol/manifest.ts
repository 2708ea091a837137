import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import { z } from "zod";
import { bin, decode, encode } from "./codec.ts";
import { FleetError } from "./errors.ts";
import { Sha256, TaskId } from "./ids.ts";
import { limits } from "./limits.ts";
import { TransferManifest } from "./transfer.ts";

/** Says what a version is before any of it is downloaded. */
export const VersionManifest = z.object({
  kind: z.literal("version"),
  task: TaskId,
  /** Grows by one with every version of a task; a device installs only a higher number than it has. */
  number: z.int().positive(),
  /** The version that it was trained from. */
  base: Sha256.nullable(),
  round: z.int().nonnegative(),
  createdMs: z.int().nonnegative(),
  transfer: TransferManifest,
});
export type VersionManifest = z.infer<typeof VersionManifest>;

/** The manifest's bytes as they were signed, so that no second encoding of them is ever compared. */
export const SignedManifest = z.object({ manifest: bin(limits.controlBytes), signature: bin(64) });
export type SignedManifest = z.infer<typeof SignedManifest>;

/** Ed25519 (RFC 8032) over the manifest's bytes. */
export function signManifest(manifest: VersionManifest, key: KeyObject): SignedManifest {
  const bytes = encode(manifest);
  return { manifest: bytes, signature: new Uint8Array(sign(null, bytes, key)) };
}

/** Throws BAD_SIGNATURE where `signed` was not signed by `key`, BAD_MESSAGE where what was signed is no manifest. */
export function openManifest(signed: SignedManifest, key: KeyObject): VersionManifest {
  if (!verify(null, signed.manifest, key, signed.signature)) {
    throw new FleetError(
      "BAD_SIGNATURE",
      "the version's manifest is not signed by the coordinator that this device was enrolled with",
    );
  }
  return decode(VersionManifest, signed.manifest);
}

/** What a signed manifest says, for readers that have no key to check it with. */
export function readManifest(signed: SignedManifest): VersionManifest {
  return decode(VersionManifest, signed.manifest);
}

export interface SigningKeys {
  /** PKCS #8 PEM. */
  readonly privateKey: string;
  /** SPKI DER, base64url. */
  readonly publicKey: string;
}

export function makeSigningKeys(): SigningKeys {
  const pair = generateKeyPairSync("ed25519");
  return {
    privateKey: pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    publicKey: pair.publicKey.export({ type: "spki", format: "der" }).toString("base64url"),
  };
}

export function readPrivateKey(pem: string): KeyObject {
  return createPrivateKey(pem);
}

/** Throws BAD_INPUT where `text` is no public key in the form that makeSigningKeys writes. */
export function readPublicKey(text: string): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(text, "base64url"), type: "spki", format: "der" });
  } catch (cause) {
    throw new FleetError("BAD_INPUT", "the coordinator's public key can't be read: enroll the device again", {
      cause,
    });
  }
}
