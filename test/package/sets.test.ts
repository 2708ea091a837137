import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const isBuilt = existsSync(resolve(root, "dist/cli/main.js"));
if (!isBuilt)
  console.warn("skipped: the package's data sets need dist/: run `npm run build` (npm test does)");

describe.skipIf(!isBuilt)("package", () => {
  it("the descriptions of data sets are built as they stand", () => {
    const sources = readdirSync(resolve(root, "models/data/sets"));
    expect(sources.length).toBeGreaterThan(0);
    expect(readdirSync(resolve(root, "dist/models/data/sets"))).toEqual(sources);
    for (const file of sources)
      expect(readFileSync(resolve(root, "dist/models/data/sets", file), "utf8")).toBe(
        readFileSync(resolve(root, "models/data/sets", file), "utf8"),
      );
  });

  it("the package holds them, and reads them from where it is installed", () => {
    const pack = execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
      cwd: root,
      encoding: "utf8",
    });
    const [{ files }] = JSON.parse(pack) as [{ files: { path: string }[] }];
    expect(files.map(({ path }) => path)).toContain("dist/models/data/sets/skab.yaml");
    const script =
      'import { openDataSet } from "starling/models"; await openDataSet(".", { set: "nowhere" }).catch((error) => console.log(error.message))';
    expect(
      execFileSync(process.execPath, ["--input-type=module", "-e", script], { cwd: root, encoding: "utf8" }),
    ).toMatch(/known are .*skab|did you mean/);
  });
});
