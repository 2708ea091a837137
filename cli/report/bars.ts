import { htmlText, seriesColors } from "./page.ts";

export interface BarGroup {
  readonly title: string;
  readonly bars: readonly Bar[];
}

export interface Bar {
  /** Which of the series: it picks the colour. */
  readonly series: number;
  readonly mean: number;
  readonly sd: number | null;
  /** One a seed. */
  readonly values: readonly number[];
}

export interface BarChart {
  readonly title: string;
  readonly groups: readonly BarGroup[];
  /** A dashed line: what guessing gets. */
  readonly guess: number | null;
  /** Decimals of the axis. */
  readonly digits: number;
}

const BAR = 17;
const GAP = 22;
const LEFT = 42;
const TOP = 26;
const HEIGHT = 130;

/** Bars in groups with the spread over seeds: a line for the standard deviation, a dot for each seed. */
export function barChart({ title, groups, guess, digits }: BarChart): string {
  const all = groups.flatMap(({ bars }) =>
    bars.flatMap(({ mean, sd, values }) => [mean + (sd ?? 0), ...values]),
  );
  const top = niceTop(Math.max(...all, guess ?? 0, 1e-9));
  const y = (value: number) => TOP + HEIGHT * (1 - Math.max(0, Math.min(1, value / top)));
  const widths = groups.map(({ bars, title }) => Math.max(bars.length * BAR, title.length * 5.7) + GAP);
  const width = LEFT + widths.reduce((a, b) => a + b, 0) + 8;
  const parts = [0, 0.25, 0.5, 0.75, 1].map((part) => {
    const at = y(part * top).toFixed(1);
    return `<line x1="${LEFT}" x2="${width - 4}" y1="${at}" y2="${at}" stroke="#e6e9ee"/><text x="${LEFT - 6}" y="${Number(at) + 4}" text-anchor="end">${String(Number((part * top).toPrecision(3)))}</text>`;
  });
  let x = LEFT + GAP / 2;
  for (const [g, { title, bars }] of groups.entries()) {
    const inner = widths[g]! - GAP;
    const start = x + (inner - bars.length * BAR) / 2;
    for (const [b, bar] of bars.entries()) parts.push(barSvg(bar, { x: start + b * BAR, y, digits }));
    parts.push(
      `<text x="${(x + inner / 2).toFixed(1)}" y="${TOP + HEIGHT + 16}" text-anchor="middle">${htmlText(title)}</text>`,
    );
    x += widths[g]!;
  }
  if (guess !== null) {
    const at = y(guess).toFixed(1);
    parts.push(
      `<line x1="${LEFT}" x2="${width - 4}" y1="${at}" y2="${at}" stroke="#1c2733" stroke-dasharray="4 3"><title>random ${guess.toFixed(3)}</title></line>`,
    );
  }
  const full = TOP + HEIGHT + 24;
  return `<svg viewBox="0 0 ${width.toFixed(0)} ${full}" width="${width.toFixed(0)}" height="${full}" role="img" aria-label="${htmlText(title)}"><text class="title" x="0" y="13">${htmlText(title)}</text>${parts.join("")}</svg>`;
}

function barSvg(
  { series, mean, sd, values }: Bar,
  { x, y, digits }: { readonly x: number; readonly y: (value: number) => number; readonly digits: number },
): string {
  const middle = (x + BAR / 2).toFixed(1);
  const top = y(mean);
  const shown = `${mean.toFixed(digits + 1)}${sd === null ? "" : ` ± ${sd.toFixed(digits + 1)}`}`;
  const rect = `<rect x="${(x + 1).toFixed(1)}" y="${top.toFixed(1)}" width="${BAR - 2}" height="${(y(0) - top).toFixed(1)}" rx="2" fill="${colorOf(series)}" fill-opacity="0.85"><title>${shown}</title></rect>`;
  const spread =
    sd === null
      ? ""
      : `<line x1="${middle}" x2="${middle}" y1="${y(mean - sd).toFixed(1)}" y2="${y(mean + sd).toFixed(1)}" stroke="#1c2733" stroke-width="1.2"/>`;
  const dots =
    values.length < 2
      ? []
      : values.map(
          (value) =>
            `<circle cx="${middle}" cy="${y(value).toFixed(1)}" r="1.9" fill="#fff" stroke="#1c2733" stroke-width="0.8"/>`,
        );
  return rect + spread + dots.join("");
}

export function colorOf(series: number): string {
  return seriesColors[series % seriesColors.length]!;
}

/** The next number whose quarters are short; 1 for figures that end there. */
function niceTop(value: number): number {
  if (value > 0.6 && value <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10]
    .map((step) => step * power)
    .find((step) => step >= value * 0.9999)!;
}
