import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

/** What each folder may import besides itself. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  models: ["protocol"],
  agent: ["protocol", "models"],
  coordinator: ["protocol", "models"],
  cli: ["protocol", "models", "agent", "coordinator"],
};

const importPattern =
  /(?:^|\n)\s*(?:import|export)\b[^"';]*?from\s*"([^"]+)"|import\(\s*"([^"]+)"\s*\)|(?:^|\n)import\s*"([^"]+)"/g;

interface Import {
  readonly from: string;
  readonly to: string;
}

function importsOf(folder: string): Import[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.includes("assembly") && !/wasm(-\w+)?\.ts$/.test(name))
    .flatMap((name) => {
      const file = join(root, folder, name);
      return [...readFileSync(file, "utf8").matchAll(importPattern)]
        .map((match) => match[1] ?? match[2] ?? match[3]!)
        .filter((target) => target.startsWith("."))
        .map((target) => ({
          from: relative(root, file),
          to: relative(root, resolve(dirname(file), target)),
        }));
    });
}

describe("imports", () => {
  for (const [folder, others] of Object.entries(allowed)) {
    it(`${folder} - imports only itself${others.length > 0 ? ` and ${others.join(", ")}` : ""}`, () => {
      const imports = importsOf(folder);
      const wrong = imports.filter(({ to }) => ![folder, ...others].includes(to.split("/")[0]!));
      expect(wrong).toEqual([]);
    });
  }

  it("a folder's index is for people outside the folder", () => {
    const inside = Object.keys(allowed)
      .flatMap(importsOf)
      .filter(({ from, to }) => to.endsWith("/index.ts") && dirname(to) === dirname(from));
    expect(inside).toEqual([]);
  });

  it("there is no cycle of imports", () => {
    const graph = new Map<string, string[]>();
    for (const { from, to } of Object.keys(allowed).flatMap(importsOf))
      graph.set(from, [...(graph.get(from) ?? []), to]);
    const done = new Set<string>();
    const cycles: string[][] = [];
    const visit = (file: string, path: readonly string[]) => {
      if (path.includes(file)) cycles.push([...path.slice(path.indexOf(file)), file]);
      else if (!done.has(file)) {
        for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
        done.add(file);
      }
    };
    for (const file of graph.keys()) visit(file, []);
    expect(cycles).toEqual([]);
  });

  it("the check finds the imports that it judges", () => {
    expect(importsOf("coordinator").length).toBeGreaterThan(20);
    expect(importsOf("coordinator")).toContainEqual({
      from: "coordinator/gate.ts",
      to: "protocol/errors.ts",
    });
  });
});
