import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import type { Flag } from "../../cli/command.ts";
import { duration } from "../../cli/config/duration.ts";
import { type Given, resolveOptions } from "../../cli/config/resolve.ts";
import { expectation } from "../../cli/config/schema.ts";
import { FleetError } from "../../protocol/errors.ts";
import { nearest } from "../../protocol/nearest.ts";

const options = z.strictObject({
  names: z.array(z.string().regex(/^[a-z]+$/, "a name has letters only")).optional(),
  state: z.string().min(1),
  port: z.int().min(0).max(65535).default(1883),
  hold: z.boolean().default(false),
  mode: z.enum(["fast", "safe"]).default("fast"),
  task: z
    .strictObject({
      rounds: z.int().positive().default(10),
      round: z
        .strictObject({
          deadlineMs: z.int().positive().default(60_000),
          quorum: z.number().gt(0).max(1).default(1),
        })
        .prefault({}),
    })
    .prefault({}),
});
const flags: Flag[] = [
  { path: "state", flag: "--state <dir>", description: "" },
  { path: "port", flag: "--port <n>", description: "" },
  { path: "hold", flag: "--hold", description: "" },
  { path: "mode", flag: "--mode <mode>", description: "" },
  { path: "task.rounds", flag: "--rounds <n>", description: "" },
  { path: "task.round.quorum", flag: "--quorum <part>", description: "" },
  { path: "task.round.deadlineMs", flag: "--deadline <time>", description: "", parse: duration },
];
const spec = { name: "test", options, flags, operands: [{ path: "names", name: "NAME", description: "" }] };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "starling-config-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Layers {
  readonly file?: string;
  readonly env?: Given["env"];
  readonly flags?: Record<string, string | true>;
  readonly operands?: Record<string, string[]>;
}

async function resolve({ file, env = {}, flags: given = {}, operands = {} }: Layers) {
  const configFile = file === undefined ? undefined : join(folder, "fleet.yaml");
  if (configFile !== undefined) await writeFile(configFile, file!);
  return resolveOptions(spec, {
    configFile,
    env,
    flags: new Map(Object.entries(given)),
    operands: new Map(Object.entries(operands)),
  });
}

async function refusal(layers: Layers): Promise<string> {
  const error = await resolve(layers).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof FleetError)) throw new Error("was not refused", { cause: error });
  expect(error.code).toBe("BAD_INPUT");
  expect(error.message).not.toContain("\n");
  return error.message.replace(`${folder}/`, "");
}

describe("configuration", () => {
  it("flags win over the environment, the environment over the file, the file over defaults", async () => {
    const file = "state: from-file\nport: 1\ntask:\n  rounds: 1\n  round:\n    quorum: 0.5\n";
    const env = { STARLING_PORT: "2", STARLING_ROUNDS: "2" };
    const resolved = await resolve({ file, env, flags: { port: "3" } });
    expect(resolved).toEqual({
      state: "from-file",
      port: 3,
      hold: false,
      mode: "fast",
      task: { rounds: 2, round: { deadlineMs: 60_000, quorum: 0.5 } },
    });
  });

  it("reads booleans, durations and an empty variable as people mean them", async () => {
    const env = { STARLING_HOLD: "1", STARLING_PORT: "", STARLING_DEADLINE: "2m" };
    const resolved = await resolve({ env, flags: { state: "x" } });
    expect(resolved.hold).toBe(true);
    expect(resolved.port).toBe(1883);
    expect(resolved.task.round.deadlineMs).toBe(120_000);
    expect((await resolve({ env: { STARLING_HOLD: "false" }, flags: { state: "x" } })).hold).toBe(false);
  });

  it("takes a map whose lines are all commented out, and an empty file", async () => {
    const resolved = await resolve({ file: "task:\n#  rounds: 3\n", flags: { state: "x" } });
    expect(resolved.task.rounds).toBe(10);
    expect((await resolve({ file: "", flags: { state: "x" } })).port).toBe(1883);
  });

  it("passes operands on", async () => {
    const resolved = await resolve({ flags: { state: "x" }, operands: { names: ["a", "b"] } });
    expect(resolved.names).toEqual(["a", "b"]);
  });

  const refusals: readonly (readonly [string, Layers, string])[] = [
    [
      "an unknown key of a file, with the nearest one",
      { file: "state: x\ntask:\n  round:\n    deadlnMs: 3\n" },
      'fleet.yaml:4:5: there is no setting "task.round.deadlnMs": did you mean "deadlineMs"?',
    ],
    [
      "an unknown key that is near none, with those that are known",
      { file: "state: x\ntask:\n  zebra: 3\n" },
      'fleet.yaml:3:3: there is no setting "task.zebra": known here are rounds, round',
    ],
    [
      "a setting at the wrong depth, with its place",
      { file: "state: x\nrounds: 3\n" },
      'fleet.yaml:2:1: there is no setting "rounds": did you mean "task.rounds"?',
    ],
    [
      "... and under its flag's name",
      { file: "state: x\ntask:\n  deadline: 30s\n" },
      'fleet.yaml:3:3: there is no setting "task.deadline": did you mean "task.round.deadlineMs"?',
    ],
    [
      "a value of another type in a file",
      { file: "state: x\ntask:\n  rounds: ten\n" },
      'fleet.yaml:3:11: task.rounds is "ten", but must be a whole number, 1 or more',
    ],
    [
      "a value out of its range in a file",
      { file: "state: x\nport: 70000\n" },
      "fleet.yaml:2:7: port is 70000, but must be a whole number from 0 to 65535",
    ],
    [
      "a list where a map belongs",
      { file: "state: x\ntask: [1]\n" },
      "fleet.yaml:2:7: task is [1], but must be a map of settings",
    ],
    [
      "... also where a flag wants to go into it",
      { file: "state: x\ntask: 5\n", flags: { "task.rounds": "3" } },
      "fleet.yaml:2:7: task is 5, but must be a map of settings",
    ],
    [
      "a word for a number in a flag",
      { flags: { state: "x", port: "abc" } },
      '--port is "abc", but must be a whole number from 0 to 65535',
    ],
    [
      "... and in a variable",
      { env: { STARLING_ROUNDS: "1.5" }, flags: { state: "x" } },
      'STARLING_ROUNDS is "1.5", but must be a whole number, 1 or more',
    ],
    [
      "a number out of its range",
      { flags: { state: "x", "task.round.quorum": "1.5" } },
      '--quorum is "1.5", but must be a number over 0 and up to 1',
    ],
    [
      "a word that is none of those known",
      { env: { STARLING_MODE: "slow" }, flags: { state: "x" } },
      'STARLING_MODE is "slow", but must be fast or safe',
    ],
    [
      "a boolean that is none",
      { env: { STARLING_HOLD: "maybe" }, flags: { state: "x" } },
      'STARLING_HOLD is "maybe", but must be true or false',
    ],
    [
      "a duration that is none",
      { flags: { state: "x", "task.round.deadlineMs": "soon" } },
      '--deadline is "soon", but must be a duration such as "30s", "500ms", "5m" or "1h"',
    ],
    [
      "an operand, with the schema's own words",
      { flags: { state: "x" }, operands: { names: ["a1"] } },
      'NAME "a1" is refused: a name has letters only',
    ],
    [
      "a flag that must be given",
      {},
      '--state is missing: give --state <dir>, STARLING_STATE or "state" in a --config file',
    ],
    [
      "a misspelt variable",
      { env: { STARLING_PROT: "1" }, flags: { state: "x" } },
      "there is no setting STARLING_PROT in the environment: did you mean STARLING_PORT?",
    ],
    [
      "a file that is no map",
      { file: "- 1\n" },
      'fleet.yaml must be a YAML map of settings, such as "rounds: 10"',
    ],
    [
      "a key that stands twice",
      { file: "state: x\nport: 1\nport: 2\n" },
      "fleet.yaml:3:1: this is no YAML: Map keys must be unique",
    ],
  ];
  it.each(refusals)("refuses %s", async (_, layers, sentence) => {
    expect(await refusal(layers)).toBe(sentence);
  });

  it("refuses a file that is not there", async () => {
    const given: Given = {
      configFile: join(folder, "none.yaml"),
      env: {},
      flags: new Map(),
      operands: new Map(),
    };
    await expect(resolveOptions(spec, given)).rejects.toThrow(/none\.yaml can't be read: ENOENT/);
  });

  it("lets other STARLING_ variables be, as Kubernetes sets them for a service of that name", async () => {
    const env = { STARLING_SERVICE_HOST: "10.0.0.1", STARLING_PORT_1883_TCP: "tcp://10.0.0.1:1883" };
    expect((await resolve({ env, flags: { state: "x" } })).port).toBe(1883);
  });

  it("refuses aliases that would fill the memory", async () => {
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${[..."bcdefgh"]
      .map(
        (name, i) =>
          `${name}: &${name} [${Array(9)
            .fill(`*${String.fromCharCode(97 + i)}`)
            .join(",")}]`,
      )
      .join("\n")}\n`;
    expect(await refusal({ file: bomb })).toMatch(/can't be read as YAML: Excessive alias count/);
  });
});

describe("words for people", () => {
  it("says what a schema expects", () => {
    expect(expectation(z.int())).toBe("a whole number");
    expect(expectation(z.number().min(0))).toBe("a number, 0 or more");
    expect(expectation(z.number().gt(0.5).lt(1))).toBe("a number over 0.5 and below 1");
    expect(expectation(z.enum(["a", "b", "c"]))).toBe("a, b or c");
    expect(expectation(z.array(z.int().positive()))).toBe(
      "a list of which each entry is a whole number, 1 or more",
    );
  });

  it("finds the nearest word, and none that is far", () => {
    const known = ["deadlineMs", "quorum", "floor"];
    expect(nearest("deadline", known)).toBe("deadlineMs");
    expect(nearest("qourum", known)).toBe("quorum");
    expect(nearest("Floor", known)).toBe("floor");
    expect(nearest("zebra", known)).toBeUndefined();
  });

  it("reads and shows durations", () => {
    expect(["90", "1.5s", "250ms", "5m", "1h", "x", "-1s"].map(duration.read)).toEqual([
      90_000,
      1_500,
      250,
      300_000,
      3_600_000,
      undefined,
      undefined,
    ]);
    expect([60_000, 1_500, 3_600_000].map(duration.show)).toEqual(["1m", "1500ms", "1h"]);
  });
});
