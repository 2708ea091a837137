import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const isBuilt = existsSync(resolve(root, "dist/cli/main.js"));
if (!isBuilt) console.warn("skipped: the package's exports need dist/: run `npm run build` (npm test does)");

/** What a program that depends on the package sees, in a process of its own. */
function names(entry: string): string[] {
  const script = `console.log(JSON.stringify(Object.keys(await import("starling/${entry}"))))`;
  return JSON.parse(
    execFileSync(process.execPath, ["--input-type=module", "-e", script], { cwd: root, encoding: "utf8" }),
  );
}

describe.skipIf(!isBuilt)("package", () => {
  it.each([
    ["protocol", ["encode", "decode", "topics", "encodeFrame", "FleetError"]],
    ["models", ["compile", "openDetector", "blueprintFor", "readSeries", "auroc", "alarmMachine"]],
    ["agent", ["startAgent", "readScores"]],
    ["coordinator", ["startCoordinator", "enrollDevice", "step"]],
  ])("starling/%s loads and offers what the README shows", (entry, expected) => {
    expect(names(entry)).toEqual(expect.arrayContaining(expected));
  });

  it("the lock file names no registry", () => {
    expect(readFileSync(resolve(root, "package-lock.json"), "utf8")).not.toMatch(/"resolved": "http/);
  });
});
