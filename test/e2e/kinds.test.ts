import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { readScores } from "../../agent/index.ts";
import { createRandom } from "../../models/engine/random.ts";
import { starling } from "../cli/starling.ts";
import {
  eventually,
  type Fleet,
  isBuilt,
  openFleet,
  type Process,
  type StartAgent,
  whyNotBuilt,
} from "./fleet.ts";

let fleet: Fleet;
afterEach(() => fleet?.close());

if (!isBuilt) console.warn(`skipped: end-to-end tests of kinds of columns ${whyNotBuilt}`);

const kinds = `
counter: [{ column: bytes, wrap: 4294967296 }]
heavy-tailed: [largest]
categorical: { state: [idle, busy] }
`;
const names = "load\nbytes\nlargest\nstate=idle\nstate=busy\nstate=other";

interface Row {
  readonly t: number;
  readonly load: number;
  readonly bytes: number;
  readonly largest: number;
  readonly state: string;
}

/** A link whose 32-bit counter wraps now and then; in a fault, bytes grow without load. */
function link(rows: number, { seed, faulty }: { readonly seed: number; readonly faulty: boolean }): Row[] {
  const random = createRandom(seed);
  let bytes = 4_294_000_000;
  return Array.from({ length: rows }, (_, i) => {
    const load = 1 + Math.sin(i / 8) + 0.05 * random.normal();
    const flood = faulty && i >= 700 && i < 740 ? 40_000 : 0;
    bytes = (bytes + Math.round(Math.max(0, 1000 * load + 20 * random.normal())) + flood) % 4_294_967_296;
    const largest = Math.round(Math.exp(4 + load + 0.1 * random.normal()));
    const state = load > 1.6 ? "busy" : load < 0.1 ? "off" : "idle";
    return { t: Date.UTC(2026, 0, 1) + i * 1000, load, bytes, largest, state };
  });
}

async function writeCsv(name: string, rows: readonly Row[]): Promise<string> {
  const path = join(fleet.folder, name);
  const cells = rows.map(({ t, load, bytes, largest, state }) =>
    [new Date(t).toISOString(), load, bytes, largest, state].join(","),
  );
  await writeFile(path, ["time,load,bytes,largest,state", ...cells].join("\n"));
  return path;
}

const lines = (rows: readonly Row[]) => `${rows.map((row) => JSON.stringify(row)).join("\n")}\n`;

describe.skipIf(!isBuilt)("kinds of columns", { timeout: 120_000 }, () => {
  it("devices with counters and words train and score, go on after kill -9 and a stop, give the scores of starling score; an unlike one is left out", async () => {
    fleet = await openFleet({
      detector: {
        name: "gru-forecaster",
        options: { units: 4 },
        window: 8,
        stride: 4,
        scaling: "federated",
        adaptRows: 0,
      },
      training: { epochs: 2, batchSize: 32 },
      rounds: 2,
      minDevices: 3,
    });
    const kindsFile = join(fleet.folder, "kinds.yaml");
    await writeFile(kindsFile, kinds);
    const others = join(fleet.folder, "others.json");
    await writeFile(
      others,
      JSON.stringify({ "heavy-tailed": ["bytes", "largest"], categorical: { state: ["idle", "busy"] } }),
    );

    await fleet.startCoordinator();
    const scores = (device: string) => join(fleet.folder, `${device}.scores`);
    const rows = new Map<string, Row[]>();
    const agents = new Map<string, Process>();
    const begin = async (device: string, more: Partial<StartAgent> & { readonly kinds?: string } = {}) => {
      const seed = [...device].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7) % 1000;
      const live = link(1500, { seed: seed + 1, faulty: true });
      const history = await writeCsv(`${device}_history.csv`, link(1200, { seed, faulty: false }));
      const source = await writeCsv(`${device}_live.csv`, live);
      rows.set(device, live);
      const flags = ["--history", history, "--kinds", more.kinds ?? kindsFile, "--scores", scores(device)];
      const from = more.live ? [] : ["--source", source];
      agents.set(
        device,
        await fleet.startAgent({ ...more, device, flags: [...flags, ...from, ...(more.flags ?? [])] }),
      );
    };
    await begin("replayed");
    // Fifteen seconds of rows: there is time to kill it in the middle of them.
    await begin("killed", { flags: ["--speed", "100"] });
    await begin("odd", { kinds: others });
    await begin("stream", { live: true });

    const served = (device: string) =>
      eventually(
        () => fleet.device(device),
        ({ heartbeat }) => heartbeat?.running?.number === 3,
        `${device} to run version 3`,
      );
    const { birth } = await served("stream");
    expect(birth).toMatchObject({ channels: 6, channelNames: names, channelKinds: "gchwww" });

    const { heartbeat } = await eventually(
      () => fleet.device("killed"),
      ({ heartbeat }) => (heartbeat?.scored ?? 0) > 300,
      "the middle of the replay",
    );
    await agents.get("killed")!.kill("SIGKILL");
    expect(heartbeat!.rows).toBeLessThan(1500);
    await begin("killed", { flags: ["--speed", "0"] });

    const live = rows.get("stream")!;
    agents.get("stream")!.input!.write(lines(live.slice(0, 705)));
    await eventually(
      () => fleet.device("stream"),
      ({ heartbeat }) => heartbeat?.rows === 705,
      "the first part of the stream",
    );
    await agents.get("stream")!.kill("SIGTERM");
    await begin("stream", { live: true });
    agents.get("stream")!.input!.end(lines(live.slice(705)));

    for (const device of ["replayed", "killed", "stream"]) {
      await eventually(
        () => fleet.device(device),
        ({ heartbeat }) => heartbeat?.sourceEnded === true && heartbeat.rows === 1500,
        `${device} to score all of its data`,
      );
      await agents.get(device)!.kill("SIGTERM");
      const out = join(fleet.folder, `${device}.jsonl`);
      const file = (part: string) => join(fleet.folder, `${device}_${part}.csv`);
      const model = [
        "--model",
        join(fleet.folder, device),
        "--calibrate",
        file("history"),
        "--kinds",
        kindsFile,
      ];
      const ran = await starling(["score", file("live"), ...model, "--out", out, "--json"]);
      expect(ran).toMatchObject({ code: 0, stderr: "" });
      const text = await starling(["score", file("live"), ...model, "--out", "-", "--format", "jsonl"]);
      const batch = text.stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line).score as number | null);
      const agent = await readScores(scores(device));
      expect([...agent.rows]).toEqual(Array.from({ length: 1500 }, (_, i) => i));
      expect(agent.scores).toEqual(Float32Array.from(batch, (score) => score ?? Number.NaN));
      const { alarms } = JSON.parse(ran.stdout);
      expect(alarms.some(({ from, to }: { from: number; to: number }) => from < 745 && to > 700)).toBe(true);
    }

    const odd = await fleet.device("odd");
    const said =
      /channel 2 of the device is "bytes" \(heavy-tailed\), of its fleet "bytes" \(a counter's rise per second\): give all/;
    expect(odd).toMatchObject({
      problem: expect.stringMatching(said),
      refused: { BAD_SHAPE: 1 },
      running: null,
    });
    expect(
      JSON.parse(
        `"${
          agents
            .get("odd")!
            .log()
            .match(/this device can't take part: (?:[^"\\]|\\.)*/)?.[0]
        }"`,
      ),
    ).toMatch(said);
    for (const { invited, accepted } of await fleet.rounds()) {
      expect(invited).toEqual(["killed", "replayed", "stream"]);
      expect(accepted).toEqual(invited);
    }
    await fleet.audit(2);
  });
});
