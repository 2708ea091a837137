import type { ErrorCode } from "../protocol/errors.ts";
import type { VersionManifest } from "../protocol/manifest.ts";
import type { AlarmSpec, DetectorSpec } from "../protocol/task.ts";
import type { Backoff } from "./backoff.ts";
import type { Installed } from "./checkpoint.ts";

export type InstallDecision =
  | { readonly kind: "nothing" }
  /** `pull` also where its bytes may be here already: then there is nothing to ask for. */
  | { readonly kind: "install" }
  | { readonly kind: "refuse"; readonly code: ErrorCode; readonly message: string };

export interface Wanted {
  readonly manifest: VersionManifest;
  readonly task: string;
  readonly detector: DetectorSpec;
  readonly alarm: AlarmSpec;
  /** Whether the task lets the device score with a model of its own. */
  readonly personal: boolean;
}

/** What to do about a version whose manifest is signed by the right key. */
export function decideInstall(
  { manifest, task, detector, alarm, personal }: Wanted,
  now: Installed | undefined,
): InstallDecision {
  if (manifest.task !== task) {
    return {
      kind: "refuse",
      code: "FORBIDDEN",
      message: `the manifest is for task ${manifest.task}, the device's task is ${task}`,
    };
  }
  if (now === undefined || now.task !== task) return { kind: "install" };
  if (manifest.transfer.sha256 === now.sha256 && manifest.number >= now.number) {
    const same =
      sameSpec(detector, now.detector) &&
      sameSpec(alarm, now.alarm) &&
      manifest.number === now.number &&
      // No longer wanted: the fleet's model comes back.
      (personal || !now.personal?.weights);
    return { kind: same ? "nothing" : "install" };
  }
  if (manifest.number <= now.number) {
    return {
      kind: "refuse",
      code: "FORBIDDEN",
      message: `version ${manifest.number} does not replace version ${now.number}: a device installs only a higher number`,
    };
  }
  return { kind: "install" };
}

function sameSpec(a: object, b: object): boolean {
  return JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort());
}

/** A version that these are said of will not be better next time: the device waits for another one. */
const final: ReadonlySet<string> = new Set([
  "BAD_SIGNATURE",
  "FORBIDDEN",
  "BAD_MESSAGE",
  "BAD_SHAPE",
  "TOO_LARGE",
  "NOT_FINITE",
  "UNSUPPORTED",
]);

export function worthRetrying(code: string): boolean {
  return !final.has(code);
}

/** Too little data yet, a full disk, a thread that died. */
export const installRetry: Backoff = { firstMs: 2_000, maxMs: 60_000 };
