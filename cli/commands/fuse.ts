import { z } from "zod";
import { fusionRules } from "../../models/scoring/fusion.ts";
import { FleetError } from "../../protocol/errors.ts";
import { AlarmSpec } from "../../protocol/task.ts";
import { command } from "../command.ts";
import { alignments } from "../fuse/align.ts";
import type { ScoreFile } from "../fuse/read-scores.ts";
import { count } from "../report/page.ts";
import { alarmsTable } from "../score/alarms-table.ts";
import { type AlarmView, alarmViews, writeScores } from "../score/write-scores.ts";
import { answer } from "../terminal.ts";
import { json, jsonFlag } from "./common.ts";

const path = z.string().min(1, "give a path");

const Options = z.strictObject({
  files: z.array(path).min(1),
  rule: z.enum(fusionRules).default("fisher"),
  calibrate: z.array(path).optional(),
  align: z.enum(alignments).default("auto"),
  hold: z.int().nonnegative().default(0),
  alarm: AlarmSpec.prefault({}),
  out: path.optional(),
  format: z.enum(["csv", "jsonl"]).optional(),
  json,
});

export const fuseCommand = command({
  name: "fuse",
  description:
    "Fuses what `starling score --out` wrote of several modalities of one device (sensors, camera, microphone), each scored by a detector of its own, into one score, and tells the alarms and which file made them. It takes the column probability of each. fisher adds up weak signs in several files; max goes by the most alarmed one alone. A file that has nothing at a moment does not count in it. Modalities of one device are seldom independent, so give the scores of normal rows with --calibrate: without, the threshold is that of independent ones and alarms too often.",
  options: Options,
  operands: [
    {
      path: "files",
      name: "SCORES",
      description: "csv or jsonl of `starling score --out`, plain or .gz",
      variadic: true,
    },
  ],
  flags: [
    {
      path: "rule",
      flag: "--rule <rule>",
      description: "fisher: all files together; max: the most alarmed one",
    },
    {
      path: "calibrate",
      flag: "--calibrate <files>",
      description:
        "scores of normal rows, in the order of SCORES, joined by commas: threshold and probability come from them",
    },
    {
      path: "align",
      flag: "--align <by>",
      description: "time or row: which lines belong together; auto: time where all files have it",
    },
    {
      path: "hold",
      flag: "--hold <n>",
      description:
        "for how many moments a score counts on where its file has no newer one, for a file at a slower rate",
    },
    {
      path: "alarm.quantile",
      flag: "--quantile <q>",
      description: "part of normal moments that is below the threshold",
    },
    {
      path: "alarm.budget",
      flag: "--alarm-budget <budget>",
      description: 'false alarms to put up with, such as "1 per week"; needs --calibrate',
    },
    {
      path: "out",
      flag: "--out, -o <file>",
      description: "write a line for each moment there, - for stdout (the alarms then go to stderr)",
    },
    {
      path: "format",
      flag: "--format <form>",
      description: "of --out: csv, or jsonl (default: by its ending, else csv)",
    },
    { ...jsonFlag, description: "the alarms as JSON on stdout" },
  ],
  examples: [
    {
      command: "starling score sensors.csv --model sensors.detector -o s.csv",
      what: "first, the scores of each",
    },
    { command: "starling fuse s.csv camera.csv", what: "both together" },
    {
      command: "starling fuse s.csv camera.csv --calibrate s-normal.csv,camera-normal.csv",
      what: "... with the threshold from scores of normal rows",
    },
    {
      command: "starling fuse s.csv camera.csv --hold 9 --rule max -o fused.csv",
      what: "a picture every tenth row counts for nine rows more",
    },
  ],
  async run({ files: paths, rule, calibrate, align: by, hold, alarm, out, format, json: asJson }, terminal) {
    if (out === "-" && asJson)
      throw new FleetError("BAD_INPUT", "--out - and --json both want stdout; give --out a file");
    if (paths.length < 2)
      throw new FleetError(
        "BAD_INPUT",
        "there is nothing to fuse; give the scores of two modalities or more",
      );
    if (calibrate && calibrate.length !== paths.length)
      throw new FleetError(
        "BAD_INPUT",
        `--calibrate has ${count(calibrate.length, "file")} and there are ${paths.length} SCORES; give one of normal rows for each, in the same order`,
      );
    if (alarm.budget !== undefined && !calibrate)
      throw new FleetError(
        "BAD_INPUT",
        "--alarm-budget needs the scores of normal rows; give them as --calibrate",
      );
    const { readScoreFile } = await import("../fuse/read-scores.ts");
    const { align } = await import("../fuse/align.ts");
    const { fuseScores, labelsOf } = await import("../fuse/fuse-scores.ts");
    const read = (all: readonly string[]) => Promise.all(all.map(readScoreFile));
    const files = await read(paths);
    const aligned = align(files, { by, hold });
    const normalFiles = calibrate && (await read(calibrate));
    const normal = normalFiles && { files: normalFiles, aligned: align(normalFiles, { by, hold }) };
    const fused = fuseScores(files, aligned, { rule, alarm, normal });
    const names = labelsOf(files);
    const labelled = {
      names,
      channels: names.length,
      ...(aligned.timesMs && { timestampsMs: aligned.timesMs }),
    };
    if (out !== undefined) await writeScores(fused, labelled, { out, format, stdout: terminal.stdout });
    const alarms = alarmViews(fused, labelled).map(({ channels, ...view }) => ({
      ...view,
      modalities: channels.map(({ name, share }) => {
        const f = names.indexOf(name);
        return { name, share, channel: channelOf(files[f]!, aligned.lines[f]!.subarray(view.from, view.to)) };
      }),
    }));
    const { threshold, caution } = fused;
    const note =
      caution ??
      (normal
        ? undefined
        : "the files are taken as independent, which alarms too often where they are not; give scores of normal rows as --calibrate");
    answer(out === "-" ? { ...terminal, stdout: terminal.stderr } : terminal, asJson, {
      value: {
        files: paths,
        rule,
        moments: aligned.moments,
        threshold,
        calibrated: normal !== undefined,
        ...(note !== undefined && { caution: note }),
        alarms,
      },
      text: () =>
        [
          `${count(aligned.moments, "moment")} of ${count(files.length, "file")}, ${count(alarms.length, "alarm")} by ${rule}, threshold ${threshold.toPrecision(4)}`,
          ...(note === undefined ? [] : [`Caution: ${note}.`]),
          ...(alarms.length === 0 ? [] : ["", alarmsTable(alarms.map(shown), threshold, "files")]),
        ].join("\n"),
    });
    return undefined;
  },
});

/** The channel that the file names most often in these lines. */
function channelOf({ channels }: ScoreFile, lines: Int32Array): string | null {
  const times = new Map<string, number>();
  for (const line of lines) {
    const channel = line < 0 ? "" : channels[line]!;
    if (channel !== "") times.set(channel, (times.get(channel) ?? 0) + 1);
  }
  return [...times].sort(([, a], [, b]) => b - a)[0]?.[0] ?? null;
}

interface FusedView extends Omit<AlarmView, "channels"> {
  readonly modalities: readonly {
    readonly name: string;
    readonly share: number;
    readonly channel: string | null;
  }[];
}

function shown({ modalities, ...view }: FusedView): AlarmView {
  const channels = modalities.map(({ name, share, channel }) => ({
    name: channel === null ? name : `${name} (${channel})`,
    share,
  }));
  return { ...view, channels };
}
