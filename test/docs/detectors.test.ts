import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { blueprintFor, type DetectorName, detectorNames, kindOf } from "../../models/detectors/catalog.ts";
import type { Hyperparameter } from "../../models/detectors/kind.ts";
import { openDetector } from "../../models/detectors/open.ts";
import { layoutSize } from "../../protocol/frame.ts";
import { DetectorSpec } from "../../protocol/task.ts";
import { isBuilt } from "../cli/starling.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const page = "docs/detectors.md";
const doc = await readFile(join(root, page), "utf8");
/** Channels of SMD, and of an image of 28 x 28. */
const CHANNELS = { series: 38, records: 38, images: 784 } as const;

async function parametersOf(name: DetectorName, channels: number): Promise<number> {
  const { mustSet } = await kindOf(name);
  const spec = DetectorSpec.parse({ name, options: mustSet?.options });
  const topology = JSON.stringify(await blueprintFor(spec, channels));
  const detector = await openDetector({ spec, topology, channels, seed: 1, statistics: null, maxBatch: 1 });
  detector.dispose();
  return layoutSize(detector.layout);
}

function option([name, { default: value, least, most, search, about }]: [string, Hyperparameter]): string {
  return `  - \`${name}\` ${value} (${least} to ${most}${search ? `; tune tries ${search.join(", ")}` : ""}): ${about}`;
}

async function catalogText(): Promise<string> {
  const rows: string[] = [];
  const sections: string[] = [];
  for (const name of detectorNames) {
    const kind = await kindOf(name);
    const channels = kind.mustSet?.channels ?? CHANNELS[kind.input];
    // A network of one's own has the size that it has.
    const parameters = name === "layers-model" ? null : await parametersOf(name, channels);
    const learns = `${kind.learns}${kind.supervised ? ", from labels" : ""}`;
    const size =
      parameters === null
        ? "its own"
        : `${parameters.toLocaleString("en-US")}${channels === 38 ? "" : ` (${channels})`}`;
    rows.push(`| \`${name}\` | ${kind.title} | ${kind.input} | ${learns} | ${size} |`);
    sections.push(
      [`- **${name}**: ${kind.about}`, ...Object.entries(kind.hyperparameters).map(option)].join("\n"),
    );
  }
  return [
    "| name | what it does | input | learns | numbers at 38 channels |",
    "|---|---|---|---|---|",
    ...rows,
    "",
    ...sections,
  ].join("\n");
}

describe("docs/detectors.md", () => {
  it("has the catalog as it is (npx vitest run test/docs -u writes it)", async () => {
    const [before, after] = [doc.indexOf("<!-- catalog -->"), doc.indexOf("<!-- /catalog -->")];
    expect(before).toBeGreaterThan(0);
    const wanted = `${doc.slice(0, before)}<!-- catalog -->\n${await catalogText()}\n${doc.slice(after)}`;
    await expect(wanted).toMatchFileSnapshot(join(root, page));
  });

  it("names no detector that is not in the catalog, in the part that people wrote", () => {
    const [, written] = /## Which one\n(.*?)<!-- catalog -->/s.exec(doc)!;
    const named = [...written!.matchAll(/`([a-z0-9]+(?:-[a-z0-9]+)*)`/g)].map(([, name]) => name!);
    expect(named.length).toBeGreaterThan(5);
    for (const name of named) expect(detectorNames).toContain(name);
  });

  it("quotes its examples from files that are compiled", async () => {
    const blocks = [...doc.matchAll(/```ts\n(.*?)\n```/gs)].map(([, code]) => code);
    const files = ["find", "stream", "choose", "fuse"].map((name) =>
      readFile(join(root, "examples/detectors", `${name}.ts`), "utf8"),
    );
    expect(blocks).toEqual((await Promise.all(files)).map((code) => code.trim()));
  });

  describe.skipIf(!isBuilt)("its examples, built", () => {
    it.each([
      [
        "find",
        /^rows 30\d to \d+: pressure \d+ %\nrow 320: score [\d.]+, threshold [\d.]+\na normal row .* 1e-12\n$/,
      ],
      ["stream", /^row 30\d: alarm, score [\d.]+, pressure first\nrow \d+: over\n$/],
      [
        "choose",
        /^var: AUC-PR 0\.[89]\d\nmahalanobis: AUC-PR 0\.[89]\d\ncnn-forecaster: AUC-PR 0\.[89]\d\n$/,
      ],
      ["fuse", /^row 30\d: sensors, pressure first, p [\d.]+e-\d+\n$/],
    ])("%s does what it says", async (name, output) => {
      const cwd = await mkdtemp(join(tmpdir(), "starling-example-"));
      try {
        const file = join(root, "dist/examples/detectors", `${name}.js`);
        const { stdout, stderr } = await promisify(execFile)(process.execPath, [file], { cwd });
        expect(stderr).toBe("");
        expect(stdout).toMatch(output);
      } finally {
        await rm(cwd, { recursive: true });
      }
    });
  });
});
