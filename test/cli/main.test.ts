import { spawn } from "node:child_process";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { formatJoin, parseJoin } from "../../protocol/join.ts";
import { makeSigningKeys } from "../../protocol/manifest.ts";
import { detectorNames } from "../../protocol/task.ts";
import { isBuilt, mainFile, starling } from "./starling.ts";

/** Of a coordinator that is not there. */
const join = formatJoin({
  url: "mqtt://127.0.0.1:9",
  device: "pump-1",
  token: "A".repeat(43),
  publicKey: makeSigningKeys().publicKey,
});

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(joinPath(tmpdir(), "starling-main-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

// `npm test` builds first; a bare `vitest` without dist/ has nothing to start.
describe.skipIf(!isBuilt)("starling", () => {
  it("lists its commands, with examples", async () => {
    const { code, stdout } = await starling(["--help"]);
    expect(code).toBe(0);
    for (const name of ["demo", "coordinator", "enroll", "agent", "status", "datasets"])
      expect(stdout).toMatch(new RegExp(`^  ${name} +\\w`, "m"));
    expect(stdout).toContain("Examples:");
  });

  it.each(["demo", "coordinator", "enroll", "agent", "status", "datasets"])(
    "%s - has help with flags, examples and the order of settings",
    async (name) => {
      const { code, stdout, stderr } = await starling([name, "--help"]);
      expect(code).toBe(0);
      expect(stderr).toBe("");
      expect(stdout).toMatch(new RegExp(`^Usage: starling ${name} `));
      expect(stdout).toMatch(/Examples:\n.*\$ .*starling /s);
      for (const flag of ["--json", "--config <file>"]) expect(stdout).toContain(flag);
      expect(stdout).toContain("flags win over the environment, the environment over the file");
      expect(stdout).not.toContain("--exit-with-parent");
    },
  );

  it("says its version", async () => {
    expect(await starling(["--version"])).toEqual({ code: 0, stdout: "0.1.0\n", stderr: "" });
  });

  const wrong: readonly (readonly [string[], string])[] = [
    [["coordnator"], 'there is no command "coordnator": did you mean `starling coordinator`?'],
    [["xyzzy"], 'there is no command "xyzzy": see `starling --help`'],
    [["coordinator", "--mqt-port", "1"], "unknown option '--mqt-port' (Did you mean --mqtt-port?)"],
    [["coordinator"], '--state is missing: give --state <dir>, STARLING_STATE or "state" in a --config file'],
    [
      ["coordinator", "--state", "x", "--mqtt-port", "abc"],
      '--mqtt-port is "abc", but must be a whole number from 0 to 65535',
    ],
    [
      ["coordinator", "--state", "x", "--alarm-budget", "weekly"],
      '--alarm-budget "weekly" is refused: the alarm budget "weekly" can\'t be read; write it like "1 per week" or "2/day"',
    ],
    [
      ["demo", "--alarm-budget", "0 per day"],
      '--alarm-budget "0 per day" is refused: the alarm budget "0 per day" can\'t be read; write it like "1 per week" or "2/day"',
    ],
    [["enroll", "--state", "x"], "DEVICE is missing: see `starling enroll --help`"],
    [
      ["enroll", "Pump", "--state", "x"],
      'DEVICE "Pump" is refused: an id has 1 to 63 characters of a-z, 0-9, _ and -, the first a letter or digit',
    ],
    [
      ["agent", "--state", "x", "--source", "y"],
      "--join-file is missing: give the file that `starling enroll --out` wrote, or --join with the string itself",
    ],
    [
      ["agent", "--state", "x", "--source", "y", "--join", "hello"],
      'a join string starts with "starling-join-1.": make a new one with `starling enroll`',
    ],
    [
      ["agent", "--state", "x", "--source", "y", "--join-file", "/none.join"],
      "--join-file /none.join can't be read: make it with `starling enroll DEVICE --out .`",
    ],
    [
      ["agent", "--state", "x", "--source", "-", "--hold", "--join", join],
      "--hold does not go with --source -, which reads live data from stdin: leave one of them out",
    ],
    [
      ["status", "--url", "nonsense"],
      '--url "nonsense" is refused: a coordinator\'s url is such as http://127.0.0.1:8080',
    ],
    [
      ["demo", "--detector", "magic"],
      `--detector is "magic", but must be ${detectorNames.slice(0, -1).join(", ")} or ${detectorNames.at(-1)}`,
    ],
    [
      ["demo", "--detector", "layers-model"],
      "layers-model needs a network: give the task a topology, the LayersModel JSON of a network",
    ],
    [["demo", "--data", "/none"], "/none: can't be opened (ENOENT); check the path"],
    [["demo", "--rate", "1"], "--rate is for --data: the built-in plant has its own, so leave it out"],
    [["datasets", "show", "smdd"], 'there is no data set "smdd": did you mean "smd"?'],
    [["datasets", "get", "smd"], "--to is missing: give the folder to install into, as --to <dir>"],
    [["datasets", "steal"], 'ACTION is "steal", but must be list, show, get or look'],
  ];
  it.each(wrong)("%j - is refused in one sentence with exit code 2", async (args, sentence) => {
    expect(await starling(args)).toEqual({ code: 2, stdout: "", stderr: `starling: ${sentence}\n` });
  });

  it("agent - refuses data that it can't read in one sentence with exit code 2, from a file and from a pipe", async () => {
    const agent = ["agent", "--join", join, "--state", joinPath(folder, "agent")];
    const bad = joinPath(folder, "bad.csv");
    await writeFile(bad, "flow,pressure\n1,2\n3,high\n");
    const sentence = `starling: ${bad}: line 3 column "pressure" holds "high", not a number; mend it, or name the column as categorical in the kinds\n`;
    const refused = { code: 2, stdout: "", stderr: sentence };
    expect(await starling([...agent, "--source", bad])).toEqual(refused);
    expect(await starling([...agent, "--source", "-", "--history", bad])).toEqual(refused);
  });

  it("names file, line and column of a wrong setting", async () => {
    const config = joinPath(folder, "fleet.yaml");
    await writeFile(config, "state: x\ntask:\n  rounds: many\n");
    const { code, stderr } = await starling(["coordinator", "--config", config]);
    expect(code).toBe(2);
    expect(stderr).toBe(
      `starling: ${config}:3:11: task.rounds is "many", but must be a whole number from 1 to 1000000\n`,
    );
  });

  it("names the place of a setting that does not go with another", async () => {
    const config = joinPath(folder, "alarm.yaml");
    await writeFile(config, "state: x\ntask:\n  alarm:\n    k: 6\n");
    const { code, stderr } = await starling(["coordinator", "--config", config]);
    expect([code, stderr]).toEqual([
      2,
      `starling: ${config}:4:8: task.alarm.k is refused: k of the last n rows can't be with k over n\n`,
    ]);
  });

  it("reads settings from the environment, also the name of the file", async () => {
    const config = joinPath(folder, "status.yaml");
    await writeFile(config, "limit: 0\n");
    const { code, stderr } = await starling(["status"], { STARLING_CONFIG: config });
    expect([code, stderr]).toEqual([
      2,
      `starling: ${config}:1:8: limit is 0, but must be a whole number from 1 to 1000\n`,
    ]);
    const fromEnv = await starling(["status"], { STARLING_CONFIG: config, STARLING_LIMIT: "x" });
    expect(fromEnv.stderr).toMatch(/^starling: STARLING_LIMIT is "x"/);
  });

  it("status - fails with exit code 1 where no coordinator answers", async () => {
    const { code, stderr } = await starling(["status", "--url", "http://127.0.0.1:9"]);
    expect(code).toBe(1);
    expect(stderr).toBe(
      "starling: no coordinator answers at http://127.0.0.1:9: start it, or give its --url\n",
    );
  });

  it("coordinator, enroll, status - work together, and SIGTERM ends the coordinator in order", async () => {
    const state = joinPath(folder, "coordinator");
    const coordinator = spawn(
      process.execPath,
      [mainFile, "coordinator", "--state", state, "--mqtt-port", "0", "--http-port", "0", "--json"],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    const closed = new Promise((resolve) => coordinator.on("close", resolve));
    let log = "";
    coordinator.stderr.setEncoding("utf8").on("data", (text: string) => {
      log += text;
    });
    try {
      const line = await new Promise<string>((resolve, reject) => {
        createInterface({ input: coordinator.stdout }).once("line", resolve);
        coordinator.once("close", () => reject(new Error(`the coordinator ended: ${log}`)));
      });
      const ready = JSON.parse(line) as { ready: boolean; mqtt: string; http: string };
      expect(ready).toMatchObject({
        ready: true,
        mqtt: expect.stringMatching(/^mqtt:\/\/127\.0\.0\.1:\d+$/),
      });

      expect((await stat(state)).mode & 0o777).toBe(0o700);

      const printed = await starling(["enroll", "pump-1", "--state", state]);
      expect(printed.code).toBe(0);
      const [device, text] = printed.stdout.trim().split(/ +/);
      expect(device).toBe("pump-1");
      expect(parseJoin(text!)).toMatchObject({ device: "pump-1", url: ready.mqtt });

      const out = joinPath(folder, "joins");
      const written = await starling([
        "enroll",
        "pump-2",
        "pump-3",
        "--state",
        state,
        "--out",
        out,
        "--json",
      ]);
      expect(written.stdout).not.toContain("starling-join");
      expect((await readdir(out)).sort()).toEqual(["pump-2.join", "pump-3.join"]);
      expect((await stat(joinPath(out, "pump-2.join"))).mode & 0o777).toBe(0o600);

      const shown = await starling(["status", "--url", ready.http, "--json"]);
      expect(shown.code).toBe(0);
      expect(JSON.parse(shown.stdout)).toMatchObject({
        task: { phase: "waiting", roundsDone: 0 },
        rounds: [],
      });
      expect((await starling(["status", "--url", ready.http])).stdout).toMatch(
        /^Task main: cnn-forecaster, waiting/,
      );

      const second = await starling([
        "coordinator",
        "--state",
        state,
        "--mqtt-port",
        "0",
        "--http-port",
        "0",
      ]);
      expect(second.code).toBe(1);
      expect(second.stdout).toBe("");
    } finally {
      coordinator.kill("SIGTERM");
    }
    expect(await closed).toBe(0);
    for (const entry of log.trim().split("\n")) expect(JSON.parse(entry)).toHaveProperty("msg");
  });

  it("coordinator --exit-with-parent - ends when its stdin does", async () => {
    const args = ["--state", joinPath(folder, "orphan"), "--mqtt-port", "0", "--http-port", "0", "--json"];
    const child = spawn(process.execPath, [mainFile, "coordinator", "--exit-with-parent", ...args], {
      stdio: ["pipe", "pipe", "ignore"],
    });
    const closed = new Promise((resolve) => child.on("close", resolve));
    await new Promise((resolve) => createInterface({ input: child.stdout }).once("line", resolve));
    child.stdin.end();
    expect(await closed).toBe(0);
  });
});
