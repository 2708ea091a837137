import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";
import { command } from "../command.ts";
import { count } from "../report/page.ts";
import { alarmsTable } from "../score/alarms-table.ts";
import { modelFlags, modelOptions, readInputs } from "../score/options.ts";
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
    modelFlags.kinds,
    modelFlags.rateHz,
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
    const { alarmViews, writeScores } = await import("../score/write-scores.ts");
    const model = await loadModel(path, task);
    const inputs = await readInputs(files, {
      model,
      warn: (text) => terminal.stderr.write(`${printable(text)}\n`),
    });
    const { series } = inputs;
    const scored = await scoreSeries(model, inputs);
    if (out !== undefined) await writeScores(scored, series, { out, format, stdout: terminal.stdout });
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
