import { readFileSync } from "node:fs";

/** Set by the build where the program is one file with no package.json beside it. */
declare const STARLING_VERSION: string | undefined;

export const version: string = typeof STARLING_VERSION === "string" ? STARLING_VERSION : fromPackage();

function fromPackage(): string {
  // cli/ in the source tree, dist/cli/ when built.
  for (const up of ["../package.json", "../../package.json"]) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(up, import.meta.url), "utf8")) as {
        name?: string;
        version: string;
      };
      if (name === "starling") return version;
    } catch {
      // Not here: one folder further up.
    }
  }
  return "0.0.0";
}
