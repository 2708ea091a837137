import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";
import { command } from "../command.ts";
import { count } from "../report/page.ts";
import { modelFlags, modelOptions, readInputs } from "../score/options.ts";
import type { AlarmView } from "../score/write-scores.ts";
import { table } from "../table.ts";
import { answer, printable } from "../terminal.ts";
import { json, jsonFlag } from "./common.ts";

const Options = z.strictObject({
  ...modelOptions,
  model: z.string().min(1, "give a path"),
  out: z.string().min(1, "give a path").optional(),
  format: z.enum(["csv", "jsonl"]).optional(),
  json,
});

export const scoreCommand = command({
  name: "score",
  description:
    "Scores the rows of a file with a trained detector, as an agent would, and tells the alarms: from where to where, how high, and which channels made them. The model is an agent's state folder, or a detector's own file, which know what is normal on their device, or a version's file together with normal rows of the device. Probabilities are how often a normal score is as high.",
  options: Options,
  operands: [{ path: "file", name: "FILE", description: ".npy, .csv, .tsv or .txt, plain or .gz" }],
  flags: [
    modelFlags.model,
    modelFlags.calibrate,
    modelFlags.ignore,
    {
      path: "out",
      flag: "--out, -o <file>",
      description: "write a line for each row there, - for stdout (the alarms then go to stderr)",
    },
    {
      path: "format",
      flag: "--format <form>",
      description: "of --out: csv, or jsonl (default: by its ending, else csv)",
    },
    { ...jsonFlag, description: "the alarms as JSON on stdout" },
  ],
  examples: [
    { command: "starling score today.csv --model ./pump-1", what: "with what the agent of pump-1 runs" },
    {
      command: "starling score today.csv --model ./pump-1 --out scores.csv",
      what: "... and every row's score in a file",
    },
    {
      command: "starling score today.npy --model 3f9c.frame --calibrate normal.npy",
      what: "a version alone, calibrated on normal rows",
    },
  ],
  async run({ model: path, task, out, format, json: asJson, ...files }, terminal) {
    if (out === "-" && asJson)
      throw new FleetError("BAD_INPUT", "--out - and --json both want stdout; give --out a file");
    const { loadModel } = await import("../score/model.ts");
    const { scoreSeries } = await import("../score/score-series.ts");
    const { alarmViews, scoreLines } = await import("../score/write-scores.ts");
    const model = await loadModel(path, task);
    const { series, normal } = await readInputs(files);
    const scored = await scoreSeries(model, series, normal);
    if (out !== undefined) {
      const form = format ?? (/\.(?:jsonl|ndjson|json)$/.test(out) ? "jsonl" : "csv");
      const lines = Readable.from(scoreLines(scored, series, form));
      if (out === "-") await pipeline(lines, terminal.stdout, { end: false });
      else
        await pipeline(lines, createWriteStream(out)).catch((cause: Error) => {
          throw new FleetError("BAD_INPUT", `${out}: can't be written (${cause.message}); check the path`, {
            cause,
          });
        });
    }
    const alarms = alarmViews(scored, series);
    const { detector, threshold } = scored;
    answer(out === "-" ? { ...terminal, stdout: terminal.stderr } : terminal, asJson, {
      value: { file: files.file, detector, rows: series.rows, threshold, alarms },
      text: () =>
        [
          `${files.file}: ${count(series.rows, "row")}, ${count(alarms.length, "alarm")} by ${detector}, threshold ${threshold.toPrecision(4)}`,
          ...(alarms.length === 0 ? [] : ["", alarmsTable(alarms, threshold)]),
        ].join("\n"),
    });
    return undefined;
  },
});

function alarmsTable(alarms: readonly AlarmView[], threshold: number): string {
  const timed = alarms[0]?.fromTime !== null;
  const place = (row: number, time: string | null) =>
    time === null ? String(row) : time.slice(0, 19).replace("T", " ");
  return table<AlarmView>(
    [
      {
        title: timed ? "from" : "from row",
        value: ({ from, fromTime }) => place(from, fromTime),
        align: "right",
      },
      {
        title: timed ? "to" : "to row",
        value: ({ to, toTime, open }) => `${place(to - 1, toTime)}${open ? " (open)" : ""}`,
        align: "right",
      },
      { title: "rows", value: ({ from, to }) => to - from, digits: 0 },
      { title: "raised after", value: ({ from, raised }) => raised - from + 1, digits: 0 },
      {
        title: "peak",
        value: ({ peak }) => (threshold > 0 ? `${(peak / threshold).toFixed(1)} x` : peak.toPrecision(3)),
        align: "right",
      },
      { title: "probability", value: ({ probability }) => probability.toExponential(1), align: "right" },
      {
        title: "channels",
        value: ({ channels }) =>
          channels.map(({ name, share }) => `${printable(name)} ${Math.round(100 * share)} %`).join(", "),
      },
    ],
    alarms,
  );
}
