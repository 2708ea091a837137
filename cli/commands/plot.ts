import { open } from "node:fs/promises";
import { z } from "zod";
import { readLabels, readSeries } from "../../models/data/read.ts";
import { labelledEvents } from "../../models/evaluation/alarms.ts";
import { FleetError } from "../../protocol/errors.ts";
import { command } from "../command.ts";
import { writeOut } from "../evaluate/write-out.ts";
import type { SeriesScore } from "../report/series-page.ts";
import { modelFlags, modelOptions, readInputs } from "../score/options.ts";
import type { AlarmView } from "../score/write-scores.ts";
import { printable } from "../terminal.ts";

const path = z.string().min(1, "give a path");

const Options = z.strictObject({
  ...modelOptions,
  model: path.optional(),
  scores: path.optional(),
  labels: path.optional(),
  out: path,
});

export const plotCommand = command({
  name: "plot",
  description:
    "Writes an HTML page with the channels of a file over time; with a model or with scores also the score, its threshold and the alarms, and with a model what each channel makes of the score. One file that needs no network.",
  options: Options,
  operands: [{ path: "file", name: "FILE", description: ".npy, .csv, .tsv or .txt, plain or .gz" }],
  flags: [
    { path: "out", flag: "--out, -o <file>", description: "where the page goes" },
    modelFlags.model,
    modelFlags.calibrate,
    {
      path: "scores",
      flag: "--scores <file>",
      description:
        "instead of a model: a csv with a column score, and where there are, threshold and alarm, as `starling score --out` writes it",
    },
    { path: "labels", flag: "--labels <file>", description: "a label of 0 or 1 for each row, to be shaded" },
    modelFlags.ignore,
    modelFlags.kinds,
    modelFlags.rateHz,
  ],
  examples: [
    { command: "starling plot today.csv -o today.html", what: "the channels alone" },
    {
      command: "starling plot today.csv --model ./pump-1 -o today.html",
      what: "with what the agent of pump-1 makes of them",
    },
    { command: "starling plot today.csv --scores scores.csv -o today.html", what: "with scores of before" },
  ],
  async run({ model, scores, labels: labelFile, out, task, ...files }, terminal) {
    if (model !== undefined && scores !== undefined)
      throw new FleetError("BAD_INPUT", "give --model or --scores, not both");
    if (model === undefined && files.calibrate !== undefined)
      throw new FleetError("BAD_INPUT", "--calibrate needs a --model to calibrate");
    const loaded =
      model === undefined ? undefined : await (await import("../score/model.ts")).loadModel(model, task);
    const { htmlText } = await import("../report/page.ts");
    const { seriesPage } = await import("../report/series-page.ts");
    const inputs = await readInputs(files, {
      model: loaded,
      warn: (text) => terminal.stderr.write(`${printable(text)}\n`),
    });
    const { series } = inputs;
    const labels = labelFile === undefined ? undefined : await readLabels(labelFile, { rows: series.rows });
    let score: SeriesScore | undefined;
    let below = "";
    if (loaded !== undefined) {
      const { scoreSeries } = await import("../score/score-series.ts");
      const { alarmViews } = await import("../score/write-scores.ts");
      const scored = await scoreSeries(loaded, inputs);
      score = { ...scored, alarms: scored.alarms.flatMap(({ from, to }) => [from, to]) };
      below = alarmsHtml(alarmViews(scored, series), htmlText);
    } else if (scores !== undefined) score = await readScores(scores, series.rows);
    const text = seriesPage({
      title: files.file,
      series,
      score,
      labels: labels ? labelledEvents(labels).flatMap(({ from, to }) => [from, to]) : [],
      below,
    });
    await writeOut(out, text);
    terminal.stdout.write(`${out}: ${(text.length / 1e6).toFixed(2)} MB\n`);
    return undefined;
  },
});

/** Other columns than these are left alone, whatever they hold. */
const COLUMNS = ["score", "threshold", "alarm"];

async function readScores(file: string, rows: number): Promise<SeriesScore> {
  const there = (await firstLine(file)).split(",").map((name) => name.trim());
  if (!there.includes("score"))
    throw new FleetError(
      "BAD_INPUT",
      `${file}: has no column "score"; \`starling score --out\` writes such a file`,
    );
  const { names, values, channels, ...read } = await readSeries(file, {
    ignoreColumns: there.filter((name) => !COLUMNS.includes(name)),
  });
  if (read.rows !== rows)
    throw new FleetError(
      "BAD_INPUT",
      `${file}: has ${read.rows} scores for ${rows} rows; give the scores of that file`,
    );
  const column = (name: string) => {
    const c = names.indexOf(name);
    return c < 0 ? undefined : Float64Array.from({ length: rows }, (_, i) => values[i * channels + c]!);
  };
  const alarmed = Uint8Array.from(column("alarm") ?? [], (value) => (value > 0 ? 1 : 0));
  return {
    scores: column("score")!,
    threshold: column("threshold")?.find(Number.isFinite) ?? null,
    alarms: labelledEvents(alarmed).flatMap(({ from, to }) => [from, to]),
  };
}

async function firstLine(file: string): Promise<string> {
  try {
    const handle = await open(file);
    try {
      for await (const line of handle.readLines()) return line;
      return "";
    } finally {
      await handle.close();
    }
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new FleetError("BAD_INPUT", `${file}: can't be opened (${code}); check the path`, { cause });
  }
}

function alarmsHtml(alarms: readonly AlarmView[], htmlText: (text: string) => string): string {
  if (alarms.length === 0) return "";
  const rows = alarms.map(({ from, to, fromTime, peak, probability, channels }) => {
    const causes = channels
      .map(({ name, share }) => `${htmlText(name)} ${Math.round(100 * share)} %`)
      .join(", ");
    return `<tr><td>${from}</td><td>${to - 1}</td><td>${fromTime ?? "–"}</td><td>${peak.toPrecision(3)}</td><td>${probability.toExponential(1)}</td><td class="text">${causes}</td></tr>`;
  });
  return `<div class="card"><h3>Alarms</h3><div class="scroll"><table><thead><tr><th>from row</th><th>to row</th><th>time</th><th>peak</th><th>probability</th><th class="text">channels</th></tr></thead><tbody>${rows.join("")}</tbody></table></div></div>`;
}
