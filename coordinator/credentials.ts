import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import { FleetError } from "../protocol/errors.ts";
import { DeviceId } from "../protocol/ids.ts";
import { makeSigningKeys, type SigningKeys } from "../protocol/manifest.ts";
import type { Journal } from "./journal.ts";

const Credential = z.object({ tokenHash: z.string(), enrolledMs: z.number() });
export type Credential = z.infer<typeof Credential>;

const cell = (device: string) => `device/${device}`;

/**
 * Gives a device a new random token of 256 bits, and takes the old one away. Only its hash is kept: a token that long needs no slow hash.
 * Throws BAD_INPUT for a name that is no id.
 */
export async function enroll(journal: Journal, device: string, nowMs: number): Promise<string> {
  const id = DeviceId.safeParse(device);
  if (!id.success)
    throw new FleetError("BAD_INPUT", `"${device}" can't be a device's name: ${id.error.issues[0]?.message}`);
  const token = randomBytes(32).toString("base64url");
  await journal.write([
    { kind: "put", cell: cell(device), value: { tokenHash: hash(token), enrolledMs: nowMs } },
  ]);
  return token;
}

export async function isToken(journal: Journal, device: string, token: string): Promise<boolean> {
  const credential = await findCredential(journal, device);
  return (
    credential !== undefined &&
    timingSafeEqual(Buffer.from(credential.tokenHash, "hex"), Buffer.from(hash(token), "hex"))
  );
}

export async function findCredential(journal: Journal, device: string): Promise<Credential | undefined> {
  const found = await journal.get(cell(device));
  return found === undefined ? undefined : Credential.parse(found.value);
}

export async function listEnrolled(
  journal: Journal,
): Promise<readonly { device: string; enrolledMs: number }[]> {
  const cells = await journal.list(cell(""));
  return cells.map((entry) => ({
    device: entry.cell.slice(cell("").length),
    enrolledMs: Credential.parse(entry.value).enrolledMs,
  }));
}

const Keys = z.object({ privateKey: z.string(), publicKey: z.string() });

/** The coordinator's signing keys, made at the first start. Two processes that start at once agree on one pair. */
export async function loadKeys(journal: Journal): Promise<SigningKeys> {
  const name = "signing-keys";
  const found = await journal.get(name);
  if (found !== undefined) return Keys.parse(found.value);
  try {
    await journal.write([{ kind: "put", cell: name, value: makeSigningKeys(), revision: 0 }]);
  } catch (error) {
    if (!(error instanceof FleetError && error.code === "LOCKED")) throw error; // another process made them first
  }
  return Keys.parse((await journal.get(name))?.value);
}

function hash(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}
