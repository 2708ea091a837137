import { z } from "zod";
import { firstIssue } from "./codec.ts";
import { FleetError } from "./errors.ts";
import { DeviceId } from "./ids.ts";

/** All that a device needs to join, in one string. Until certificates land, `token` is its password: keep it like one. */
export const Join = z.strictObject({
  url: z.url({ protocol: /^mqtts?$/ }),
  device: DeviceId,
  token: z.string().regex(/^[A-Za-z0-9_-]{43}$/, "a token is 256 random bits in base64url"),
  /** The coordinator's Ed25519 public key: SPKI DER, base64url. */
  publicKey: z.string().max(256),
});
export type Join = z.infer<typeof Join>;

/** Host and what is around it in a url that stands for every address of a machine: good to listen on, and nothing that a device elsewhere can connect to. */
export const everyAddress = /\/\/(?:0\.0\.0\.0|\[::\]):/;

const prefix = "starling-join-1.";

export function formatJoin(join: Join): string {
  return prefix + Buffer.from(JSON.stringify(join)).toString("base64url");
}

/** Throws BAD_INPUT with what to do where `text` is no join string. */
export function parseJoin(text: string): Join {
  const trimmed = text.trim();
  const again = "make a new one with `starling enroll`";
  if (!trimmed.startsWith(prefix))
    throw new FleetError("BAD_INPUT", `a join string starts with "${prefix}": ${again}`);
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(trimmed.slice(prefix.length), "base64url").toString());
  } catch (cause) {
    throw new FleetError("BAD_INPUT", `the join string is damaged: ${again}`, { cause });
  }
  const parsed = Join.safeParse(value);
  if (!parsed.success)
    throw new FleetError("BAD_INPUT", `the join string is damaged (${firstIssue(parsed.error)}): ${again}`);
  return parsed.data;
}
