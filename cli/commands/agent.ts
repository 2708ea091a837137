import { readFile } from "node:fs/promises";
import { z } from "zod";
import type { TrainerScript } from "../../agent/index.ts";
import { FleetError } from "../../protocol/errors.ts";
import { parseJoin } from "../../protocol/join.ts";
import { command } from "../command.ts";
import { kindsFlag, readKinds } from "../config/kinds-file.ts";
import { jsonLog } from "../log.ts";
import {
  exitWithParent,
  exitWithParentFlag,
  json,
  jsonFlag,
  logLevel,
  logLevelFlag,
  stateDir,
} from "./common.ts";

const file = z.string().min(1, "give the path of a file");

const Options = z.strictObject({
  join: z.string().optional(),
  joinFile: file.optional(),
  state: stateDir,
  source: file,
  history: file.optional(),
  kinds: file.optional(),
  speed: z.number().nonnegative().default(1),
  hold: z.boolean().default(false),
  rateHz: z.number().positive().optional(),
  windowRows: z.int().positive().optional(),
  bandwidth: z.number().positive().optional(),
  scores: file.optional(),
  keepalive: z.int().positive().max(65535).optional(),
  exitAtEnd: z.boolean().default(false),
  logLevel,
  json,
  exitWithParent,
});

/** `trainerScript`: what the training thread runs, where it is not the agent's own file for it. */
export function agentCommand(trainerScript?: TrainerScript) {
  return command({
    name: "agent",
    description:
      "Runs the agent of one device: reads its data, scores every row on the spot, trains when it is invited, and sends weight updates and alerts, never data. Its state folder makes it restart where it was.",
    options: Options,
    flags: [
      { path: "join", flag: "--join <string>", description: "join string of `starling enroll`" },
      {
        path: "joinFile",
        flag: "--join-file <file>",
        description: "... or the file that holds it, which keeps it out of the process list",
      },
      { path: "state", flag: "--state <dir>", description: "state folder, made where it is missing" },
      {
        path: "source",
        flag: "--source <file>",
        description: "what to score: .npy, .npy.gz or .csv to replay, or - for JSON lines on stdin",
      },
      {
        path: "history",
        flag: "--history <file>",
        description: "past normal data to train on from the start",
      },
      kindsFlag,
      {
        path: "speed",
        flag: "--speed <n>",
        description: "rows per second of a replay, 0 as fast as it goes",
      },
      {
        path: "hold",
        flag: "--hold",
        description: "begin the replay only when the last training round is over",
      },
      {
        path: "rateHz",
        flag: "--rate-hz <n>",
        description: "rows per second of a source that has no timestamps",
      },
      {
        path: "windowRows",
        flag: "--window-rows <n>",
        description: "recent rows kept in memory for training",
      },
      { path: "bandwidth", flag: "--bandwidth <n>", description: "bytes per second to send at most" },
      { path: "scores", flag: "--scores <file>", description: "write every row's score to this file" },
      {
        path: "keepalive",
        flag: "--keepalive <s>",
        description: "seconds of silence after which the connection counts as lost",
      },
      { path: "exitAtEnd", flag: "--exit-at-end", description: "end when the source has ended" },
      logLevelFlag,
      jsonFlag,
      exitWithParentFlag,
    ],
    examples: [
      {
        command: "starling agent --join-file pump-1.join --state ./pump-1 --source pump-1.csv",
        what: "replay a recording, one row a second",
      },
      {
        command:
          "read-sensors | starling agent --join-file pump-1.join --state ./pump-1 --source - --history normal.csv",
        what: "live data, one JSON array or object a line, trained on a recording from the start",
      },
      {
        command:
          "read-switch | starling agent --join-file sw-1.join --state ./sw-1 --source - --kinds kinds.yaml",
        what: "objects with counters and words, prepared by the fleet's kinds.yaml",
      },
      {
        command:
          "starling agent --join-file m1.join --state ./m1 --history m1_train.npy.gz --source m1_test.npy.gz --speed 0 --hold --exit-at-end",
        what: "train on one file, then score another as fast as it goes",
      },
    ],
    async run(options, terminal) {
      const join = parseJoin(await joinText(options));
      const live = options.source === "-";
      refuseTogether(options, live);
      // Loaded late, so that --help and a wrong flag answer at once.
      const { startAgent } = await import("../../agent/index.ts");
      const { runUntilStopped } = await import("../lifecycle.ts");
      const log = jsonLog((line) => terminal.stderr.write(line), options.logLevel);
      const { history, rateHz, windowRows, bandwidth, scores, keepalive } = options;
      const kinds = options.kinds === undefined ? undefined : await readKinds(options.kinds);
      const recorded = { history, rateHz, kinds };
      const agent = await startAgent({
        join,
        stateDir: options.state,
        source: live
          ? { kind: "stdin", input: process.stdin, ...recorded }
          : {
              kind: "replay",
              file: options.source,
              speed: options.speed,
              hold: options.hold,
              ...recorded,
            },
        log,
        ...(windowRows !== undefined && { windowRows }),
        ...(bandwidth !== undefined && { bandwidth }),
        ...(scores !== undefined && { scoresFile: scores }),
        ...(keepalive !== undefined && { keepaliveS: keepalive }),
        ...(trainerScript !== undefined && { trainerScript }),
      });
      if (options.json)
        terminal.stdout.write(`${JSON.stringify({ ready: true, device: agent.device, pid: process.pid })}\n`);
      // A failed source ends the agent even where a finished one does not.
      const ended = options.exitAtEnd ? agent.ended : agent.ended.then(() => new Promise<never>(() => {}));
      return runUntilStopped({
        exitWithParent: options.exitWithParent,
        ended,
        async close({ error, signal }) {
          if (error !== undefined) log.error({ err: error }, "the agent failed and stops");
          else log.info({ signal }, "the agent stops");
          await agent.close();
        },
      });
    },
  });
}

type AgentCommandOptions = z.output<typeof Options>;

async function joinText({ join, joinFile }: AgentCommandOptions): Promise<string> {
  if (join !== undefined && joinFile !== undefined)
    throw new FleetError("BAD_INPUT", "--join and --join-file say the same thing: give one of them");
  if (join !== undefined) return join;
  if (joinFile === undefined)
    throw new FleetError(
      "BAD_INPUT",
      "--join-file is missing: give the file that `starling enroll --out` wrote, or --join with the string itself",
    );
  try {
    return await readFile(joinFile, "utf8");
  } catch (cause) {
    throw new FleetError(
      "BAD_INPUT",
      `--join-file ${joinFile} can't be read: make it with \`starling enroll DEVICE --out .\``,
      { cause },
    );
  }
}

function refuseTogether({ hold, exitWithParent }: AgentCommandOptions, live: boolean): void {
  if (!live) return;
  const other = hold ? "--hold" : exitWithParent ? "--exit-with-parent" : undefined;
  if (other !== undefined)
    throw new FleetError(
      "BAD_INPUT",
      `${other} does not go with --source -, which reads live data from stdin: leave one of them out`,
    );
}
