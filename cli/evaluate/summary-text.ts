import type { Figures, SummaryRow } from "../../models/evaluation/results.ts";
import { type Column, table } from "../table.ts";
import type { EvaluationResult } from "./result.ts";

export interface FigureColumn {
  readonly title: string;
  readonly name: keyof Figures;
  readonly digits: number;
}

/** The columns of every table of results. */
export const figureColumns: readonly FigureColumn[] = [
  { title: "VUS-PR", name: "vusPr", digits: 3 },
  { title: "AUC-PR", name: "aucPr", digits: 3 },
  { title: "AUROC", name: "auroc", digits: 3 },
  { title: "point F1", name: "pointF1", digits: 3 },
  { title: "event F1", name: "eventF1", digits: 3 },
  { title: "composite F1", name: "compositeF1", digits: 3 },
  { title: "FPR", name: "falsePositiveRate", digits: 4 },
  { title: "false alarms/day", name: "falseAlarmsPerDay", digits: 2 },
  { title: "delay", name: "detectionDelay", digits: 1 },
  { title: "hit@100", name: "hitRate100", digits: 2 },
  { title: "NAB score", name: "nabScore", digits: 1 },
  { title: "NAB oracle", name: "nabScoreOracle", digits: 1 },
  { title: "accuracy", name: "accuracy", digits: 3 },
  { title: "log loss", name: "logLoss", digits: 3 },
];

/** What guessing gets stands last, under a line. */
export function inOrder(summary: readonly SummaryRow[]): { rows: readonly SummaryRow[]; trained: number } {
  const trained = summary.filter(({ arm }) => arm !== "none");
  return { rows: [...trained, ...summary.filter(({ arm }) => arm === "none")], trained: trained.length };
}

export function figureText(row: SummaryRow, { name, digits }: FigureColumn): string | null {
  const mean = row.mean[name];
  if (mean === null) return null;
  const sd = row.sd[name];
  return sd === null || row.detector === "always-alarm"
    ? mean.toFixed(digits)
    : `${mean.toFixed(digits)} +- ${sd.toFixed(digits)}`;
}

/** One table for each set, with what is to be known beside it. */
export function summaryText(result: EvaluationResult): string {
  return [...result.settings.sets.map(({ data }) => setText(data, result)), notes(result)].join("\n\n");
}

function setText(data: string, { summary, settings }: EvaluationResult): string {
  const set = settings.sets.find((one) => one.data === data)!;
  const { rows, trained } = inOrder(summary.filter((row) => row.data === data));
  const columns: Column<SummaryRow>[] = [
    { title: "detector", value: ({ detector }) => detector },
    { title: "arm", value: ({ arm }) => (arm === "none" ? null : arm) },
    ...figureColumns
      .filter(({ name }) => rows.some(({ mean }) => mean[name] !== null))
      .map(
        (column): Column<SummaryRow> => ({
          title: column.title,
          value: (row) => figureText(row, column),
          align: "right",
        }),
      ),
    {
      title: "worst device",
      value: ({ worst }) =>
        worst && `${worst.device} ${(worst.vusPr ?? worst.auroc ?? Number.NaN).toFixed(3)}`,
    },
  ];
  const over = set.judging === "pooled" ? "all rows as one" : `mean over ${set.devices.length} devices`;
  const seeds =
    settings.seeds.length === 1 ? "one seed" : `+- standard deviation over ${settings.seeds.length} seeds`;
  return [
    `${set.title}: ${over}, ${seeds}`,
    table(columns, rows, { rulesBefore: trained > 0 ? [trained] : [] }),
    ...rows.flatMap(armText),
  ].join("\n");
}

/** In one line what the devices score with, where they may choose, and what becomes of the one that is worst off against its own local model. */
export function armText({ detector, arm, models, seeds, againstLocal }: SummaryRow): string[] {
  const { device, auroc } = againstLocal ?? {};
  const parts = [
    models &&
      `of ${models.fleet + models.tuned + models.own} models ${seeds > 1 ? "over the seeds " : ""}${models.fleet} are the fleet's, ${models.tuned} tuned, ${models.own} of the device alone`,
    auroc !== undefined &&
      `${device} ${auroc < 0 ? "loses most" : "gains least"} of AUROC against its local model: ${auroc < 0 ? "" : "+"}${auroc.toFixed(3)}`,
  ].filter((part) => typeof part === "string");
  return parts.length === 0 ? [] : [`${detector}, ${arm}: ${parts.join("; ")}`];
}

export function notes({ settings, failures }: EvaluationResult): string {
  const { window, thresholds } = settings.vus;
  return [
    `VUS: window ${window}, ${thresholds} thresholds. Thresholds of alarms were fixed on held-back training rows before a label was read; nothing is point-adjusted.`,
    ...(failures.length === 0 ? [] : [`${failures.length} took no part: see the messages above.`]),
  ].join("\n");
}
