import { arms } from "../../models/evaluation/arms.ts";
import { isWhole, type ResultRow, type SummaryRow } from "../../models/evaluation/results.ts";
import { type EvaluationResult, failureText } from "../evaluate/result.ts";
import { armText, type FigureColumn, figureColumns, inOrder } from "../evaluate/summary-text.ts";
import { type BarChart, barChart, colorOf } from "./bars.ts";
import { calibrationChart } from "./calibration-chart.ts";
import type { DevicePlot } from "./device-plot.ts";
import { drawScript } from "./draw-script.ts";
import { count, htmlText, page } from "./page.ts";

/** The whole evaluation as one HTML file: tables, arms side by side, device by device, scores over time, calibration. */
export function evaluationPage(result: EvaluationResult, plots: readonly DevicePlot[]): string {
  const { settings, failures, command, version } = result;
  const { window, thresholds } = settings.vus;
  const failed =
    failures.length === 0
      ? ""
      : `<div class="card"><h3>Took no part</h3><ul>${failures.map((one) => `<li>${htmlText(failureText(one))}</li>`).join("")}</ul></div>`;
  const sets = settings.sets.map(({ data }) => setSection(data, { result, plots }));
  const seeds = settings.seeds.length === 1 ? "one seed" : `${settings.seeds.length} seeds`;
  return page({
    title: `Evaluation: ${settings.sets.map(({ title }) => title).join(", ")}`,
    lead: `Starling ${version}, ${seeds}, ${count(settings.rounds, "round")} of ${count(settings.training.epochs, "epoch")}. VUS: window ${window}, ${thresholds} thresholds. Alarm thresholds were fixed on held-back training rows before a label was read; nothing is point-adjusted.`,
    body: `<p><code>${htmlText(command)}</code></p>${failed}${sets.join("\n")}`,
    drawings: plots.map(({ rows, score, labels, alarms, heat }) => ({ rows, score, labels, alarms, heat })),
    script: drawScript,
  });
}

interface Context {
  readonly result: EvaluationResult;
  readonly plots: readonly DevicePlot[];
}

function setSection(data: string, { result, plots }: Context): string {
  const set = result.settings.sets.find((one) => one.data === data)!;
  const summary = result.summary.filter((row) => row.data === data);
  const rows = result.rows.filter((row) => row.data === data);
  const notes = summary.flatMap(armText);
  return `<section>
<h2>${htmlText(set.title)}</h2>
<div class="card"><div class="scroll">${summaryTable(summary)}</div>${notesHtml(notes)}</div>
<div class="card"><h3>Arms side by side</h3>${legend(summary)}<div class="charts">${charts(summary, rows).join("")}</div><p class="note">Bars are means over the seeds; the line is the standard deviation, each dot a seed; dashed is what guessing gets.</p></div>
${deviceTables(rows)}
${plotSection(data, plots)}
</section>`;
}

/** Many detectors have many. */
function notesHtml(notes: readonly string[]): string {
  const lines = notes.map((note) => `<p class="note">${htmlText(note)}</p>`).join("");
  return notes.length <= 6
    ? lines
    : `<details><summary class="note">Local models that were kept, and devices that lose against theirs (${notes.length})</summary>${lines}</details>`;
}

function summaryTable(summary: readonly SummaryRow[]): string {
  const { rows, trained } = inOrder(summary);
  const columns = figureColumns.filter(({ name }) => rows.some(({ mean }) => mean[name] !== null));
  const best = new Map(columns.map((column) => [column, bestOf(rows.slice(0, trained), column)]));
  const body = rows.map((row, i) => {
    const cells = columns.map((column) =>
      figureCell(row, column, i < trained && best.get(column) === row.mean[column.name]),
    );
    const { worst } = row;
    const worstText =
      worst === null
        ? "–"
        : `${htmlText(worst.device)} ${(worst.vusPr ?? worst.auroc ?? Number.NaN).toFixed(3)}`;
    const kind = `${i >= trained ? "guess" : ""}${i === trained ? " first" : ""}`.trim();
    return `<tr class="${kind}"><td class="text">${htmlText(row.detector)}</td><td class="text">${row.arm === "none" ? "–" : row.arm}</td>${cells.join("")}<td class="text">${worstText}</td></tr>`;
  });
  const heads = columns.map(({ title }) => `<th>${title}</th>`).join("");
  return `<table><thead><tr><th class="text">detector</th><th class="text">arm</th>${heads}<th class="text">worst device</th></tr></thead><tbody>${body.join("")}</tbody></table>`;
}

function figureCell(row: SummaryRow, { name, digits }: FigureColumn, best: boolean): string {
  const mean = row.mean[name];
  if (mean === null) return "<td>–</td>";
  const sd = row.detector === "always-alarm" ? null : row.sd[name];
  const spread = sd === null ? "" : ` <span class="sd">± ${sd.toFixed(digits)}</span>`;
  return `<td${best ? ' class="best"' : ""}>${mean.toFixed(digits)}${spread}</td>`;
}

const LESS_IS_BETTER: readonly string[] = ["falsePositiveRate", "falseAlarmsPerDay", "detectionDelay"];

function bestOf(rows: readonly SummaryRow[], { name }: FigureColumn): number | null {
  const values = rows.flatMap(({ mean }) => mean[name] ?? []);
  if (values.length < 2) return null;
  return LESS_IS_BETTER.includes(name) ? Math.min(...values) : Math.max(...values);
}

function legend(summary: readonly SummaryRow[]): string {
  const shown = arms.filter((arm) => summary.some((row) => row.arm === arm));
  const items = shown.map(
    (arm) => `<span><i style="background:${colorOf(arms.indexOf(arm))}"></i>${arm}</span>`,
  );
  return `<div class="legend">${items.join("")}<span><i class="line"></i>random</span></div>`;
}

const CHARTED: readonly { readonly name: FigureColumn["name"]; readonly digits: number }[] = [
  { name: "vusPr", digits: 2 },
  { name: "auroc", digits: 2 },
  { name: "eventF1", digits: 2 },
  { name: "compositeF1", digits: 2 },
  { name: "falsePositiveRate", digits: 3 },
];

function charts(summary: readonly SummaryRow[], rows: readonly ResultRow[]): string[] {
  const detectors = [...new Set(summary.filter(({ arm }) => arm !== "none").map(({ detector }) => detector))];
  const random = summary.find(({ detector }) => detector === "random");
  return CHARTED.flatMap(({ name, digits }) => {
    const { title } = figureColumns.find((column) => column.name === name)!;
    const groups = detectors.map((detector) => ({
      title: detector,
      bars: summary
        .filter((row) => row.detector === detector && row.mean[name] !== null)
        .map((row) => ({
          series: (arms as readonly string[]).indexOf(row.arm),
          mean: row.mean[name]!,
          sd: row.sd[name],
          values: rows
            .filter((one) => one.detector === detector && one.arm === row.arm && isWhole(one))
            .flatMap((one) => one[name] ?? []),
        })),
    }));
    if (groups.every(({ bars }) => bars.length === 0)) return [];
    // What guessing raises depends on how many rows are anomalous: it is no bar to false alarms.
    const guess = name === "falsePositiveRate" || name === "eventF1" ? null : (random?.mean[name] ?? null);
    const chart: BarChart = {
      title: `${title}${name === "falsePositiveRate" ? " (less is better)" : ""}`,
      groups,
      guess,
      digits,
    };
    return [`<figure>${barChart(chart)}</figure>`];
  });
}

/** Where averaging helps and where it hurts: VUS-PR (AUROC where there is none) of each device in each arm, mean over the seeds. */
function deviceTables(rows: readonly ResultRow[]): string {
  const single = rows.filter((row) => !isWhole(row) && row.arm !== "none");
  if (single.length === 0) return "";
  const name = single.some(({ vusPr }) => vusPr !== null) ? "vusPr" : "auroc";
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const devices = [...new Set(single.map(({ device }) => device))];
  const columns = [...new Set(single.map(({ detector, arm }) => JSON.stringify([detector, arm])))].map(
    (key) => JSON.parse(key) as [string, string],
  );
  const head = columns
    .map(([detector, arm]) => `<th>${htmlText(detector)}<br>${htmlText(arm)}</th>`)
    .join("");
  const body = devices.map((device) => {
    const cells = columns.map(([detector, arm]) => {
      const own = single.filter(
        (row) => row.device === device && row.detector === detector && row.arm === arm,
      );
      const values = own.flatMap((row) => row[name] ?? []);
      if (values.length === 0) return "<td>–</td>";
      const value = mean(values);
      const models = [...new Set(own.flatMap(({ model }) => model ?? []))].join(", ");
      const back =
        models === "" ? "" : ` <span class="sd" title="which model the device scores with">${models}</span>`;
      return `<td style="background:rgba(0,114,178,${(0.38 * Math.max(0, value)).toFixed(3)})">${value.toFixed(3)}${back}</td>`;
    });
    return `<tr><td class="text">${htmlText(device)}</td>${cells.join("")}</tr>`;
  });
  const title = name === "vusPr" ? "VUS-PR" : "AUROC";
  return `<div class="card"><h3>Device by device: ${title}</h3><div class="scroll"><table><thead><tr><th class="text">device</th>${head}</tr></thead><tbody>${body.join("")}</tbody></table></div></div>`;
}

function plotSection(data: string, plots: readonly DevicePlot[]): string {
  const own = [...plots.entries()].filter(([, plot]) => plot.data === data);
  if (own.length === 0)
    return '<div class="card"><p class="note">No plots of scores: there are more devices, detectors and arms than a page has room for. Name fewer of them.</p></div>';
  const detectors = [...new Set(own.map(([, { detector }]) => detector))];
  const shownArms = [...new Set(own.map(([, { arm }]) => arm))];
  const first = { detector: detectors[0]!, arm: shownArms.includes("fedavg") ? "fedavg" : shownArms.at(-1)! };
  const options = (values: readonly string[], chosen: string) =>
    values
      .map((value) => `<option${value === chosen ? " selected" : ""}>${htmlText(value)}</option>`)
      .join("");
  const groups = detectors.flatMap((detector) =>
    shownArms.map((arm) => {
      const group = own.filter(([, plot]) => plot.detector === detector && plot.arm === arm);
      const hidden = detector === first.detector && arm === first.arm ? "" : " hidden";
      const inner =
        group.length === 0
          ? '<p class="note">There is no such arm for this detector.</p>'
          : group.map(plotHtml).join("");
      return `<div data-detector="${htmlText(detector)}" data-arm="${htmlText(arm)}"${hidden}>${inner}${calibrationHtml(group.map(([, plot]) => plot))}</div>`;
    }),
  );
  return `<div class="card" data-choose>
<h3>Scores over time (seed ${own[0]![1].seed})</h3>
<div class="choose"><label>detector<select>${options(detectors, first.detector)}</select></label><label>arm<select>${options(shownArms, first.arm)}</select></label></div>
<div class="legend"><span><i style="background:#2563a8"></i>score</span><span><i style="background:#f5c99b"></i>labelled anomaly</span><span><i style="background:#c0392b"></i>alarm</span><span style="color:#c0392b"><i class="line"></i>threshold</span><span><i style="background:linear-gradient(90deg,#fde0b2,#f69954,#c84054,#52125c)"></i>what each channel makes of the score, logarithmic</span></div>
${groups.join("\n")}
</div>`;
}

function plotHtml([index, plot]: readonly [number, DevicePlot]): string {
  const { device, labels, alarms, heat } = plot;
  const cut =
    heat && heat.channels > heat.names.length
      ? `, ${heat.names.length} of ${heat.channels} channels shown`
      : "";
  const text = `${count(labels.length / 2, "event")}, ${count(alarms.length / 2, "alarm")}${cut}`;
  return `<div class="plot"><h4>${htmlText(device)}<span data-text="${htmlText(text)}">${htmlText(text)}</span></h4><canvas data-plot="${index}"></canvas></div>`;
}

function calibrationHtml(plots: readonly DevicePlot[]): string {
  const devices = plots
    .filter(({ calibration }) => calibration.length > 0)
    .map(({ device, calibration }) => ({ device, points: calibration }));
  if (devices.length === 0) return "";
  return `<div class="calibration"><h3>Do tail probabilities hold on normal test rows?</h3>${calibrationChart(devices)}<p class="note">A line for each device, their median thick. Tail probabilities come from the held-back training rows; above the dashed diagonal there are more false alarms than promised.</p></div>`;
}
