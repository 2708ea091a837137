import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { childGroup } from "../../cli/demo/children.ts";
import { emptyNodeRssMb, peakRssMb } from "../../cli/demo/peak-rss.ts";
import { isBuilt } from "./starling.ts";

/** Says "up PID" and lives until its stdin ends; what else it does is its argument. */
const fakeChild = `
process.stdin.resume().on("end", () => process.exit(0));
process.on("SIGTERM", () => { if (process.argv[2] !== "stubborn") process.exit(0); });
process.stderr.write("line one\\nline two\\n");
if (process.argv[2] === "refuses") {
  console.error("starling: data.csv: line 3 has 1 fields where 2 are expected");
  setImmediate(() => process.exit(2));
} else if (process.argv[2] === "settings") console.log(Object.keys(process.env).filter((name) => name.startsWith("STARLING_")).join());
else if (process.argv[2] === "fails") setImmediate(() => process.exit(3));
else if (process.argv[2] !== "silent") console.log("up " + process.pid);
`;

let folder: string;
let file: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "starling-children-"));
  file = join(folder, "child.mjs");
  await writeFile(file, fakeChild);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const start = (children: ReturnType<typeof childGroup>, name: string, ...args: string[]) =>
  children.start({ name, file, args, logFile: join(folder, `${name}.log`) });

describe("child processes", () => {
  it("are stopped by SIGTERM, and by SIGKILL where that is not heard", async () => {
    const children = childGroup({ graceMs: 200 });
    const gentle = await start(children, "gentle");
    const stubborn = await start(children, "stubborn", "stubborn");
    for (const child of [gentle, stubborn]) expect(await child.firstLine(10_000)).toBe(`up ${child.pid}`);
    await children.stopAll();
    for (const { pid } of [gentle, stubborn]) expect(isAlive(pid)).toBe(false);
    expect(await readFile(join(folder, "gentle.log"), "utf8")).toBe("line one\nline two\n");
  });

  it("that end by themselves are told with the end of their log", async () => {
    const children = childGroup();
    await start(children, "broken", "fails");
    await expect(children.failed).rejects.toThrow(
      "broken ended by itself with code 3; its last log lines:\n  line one\n  line two",
    );
    await children.stopAll();
  });

  it("that refuse what they were given are told with their own sentence, as bad input", async () => {
    const children = childGroup();
    await start(children, "picky", "refuses");
    await expect(children.failed).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: "data.csv: line 3 has 1 fields where 2 are expected",
    });
    await children.stopAll();
  });

  it("do not take the settings that are meant for us", async () => {
    process.env.STARLING_CONFIG = "demo.yaml";
    const children = childGroup();
    try {
      const child = await start(children, "free", "settings");
      expect(await child.firstLine(10_000)).toBe("");
    } finally {
      delete process.env.STARLING_CONFIG;
      await children.stopAll();
    }
  });

  it("that end before they are ready are told at once", async () => {
    const children = childGroup();
    const child = await start(children, "broken", "fails");
    await expect(child.firstLine(10_000)).rejects.toThrow(/broken ended by itself with code 3/);
    await children.stopAll();
  });

  it("that say nothing are given up", async () => {
    const children = childGroup({ graceMs: 200 });
    const child = await start(children, "mute", "silent");
    await expect(child.firstLine(50)).rejects.toThrow(/mute said nothing for 0\.05 s/);
    await children.stopAll();
  });

  it.skipIf(!isBuilt)(
    "end when the process that started them is killed with no time to stop them",
    async () => {
      const parent = join(folder, "parent.mjs");
      const source = JSON.stringify(new URL("../../dist/cli/demo/children.js", import.meta.url).href);
      await writeFile(
        parent,
        `const { childGroup } = await import(${source});
       const child = await childGroup().start({ name: "orphan", file: ${JSON.stringify(file)}, args: [], logFile: ${JSON.stringify(join(folder, "orphan.log"))} });
       console.log(await child.firstLine(10_000));`,
      );
      const killed = spawn(process.execPath, [parent], { stdio: ["ignore", "pipe", "inherit"] });
      const line = await new Promise<string>((resolve) =>
        createInterface({ input: killed.stdout }).once("line", resolve),
      );
      const pid = Number(line.split(" ")[1]);
      expect(isAlive(pid)).toBe(true);
      killed.kill("SIGKILL");
      await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false);
    },
  );

  it.skipIf(process.platform !== "linux")("are measured by the most memory that they ever held", async () => {
    const empty = await emptyNodeRssMb();
    expect(empty).toBeGreaterThan(10);
    expect(await peakRssMb(process.pid)).toBeGreaterThan(10);
    expect(await peakRssMb(2 ** 30)).toBeUndefined();
  });
});

/** Signal 0 asks only whether there is such a process. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
