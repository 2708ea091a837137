import type { TailPoint } from "../../models/evaluation/calibration.ts";
import { htmlText } from "./page.ts";

const SIZE = 250;
const LEFT = 52;
const TOP = 10;
const DECADES = 3;

/**
 * What part of normal test rows has a tail probability at most as small as promised: on the diagonal the promise holds, above it there are more false
 * alarms than that. A line for each device, the median of them thick.
 */
export function calibrationChart(
  devices: readonly { readonly device: string; readonly points: readonly TailPoint[] }[],
): string {
  const x = (level: number) => LEFT + SIZE * (1 + place(level));
  const y = (part: number) => TOP + SIZE * -place(part);
  const ticks = [0, -1, -2, -3].map((exponent) => {
    const text = exponent === 0 ? "1" : (10 ** exponent).toFixed(-exponent);
    const [tx, ty] = [x(10 ** exponent), y(10 ** exponent)];
    return `<line x1="${tx}" x2="${tx}" y1="${TOP}" y2="${TOP + SIZE}" stroke="#e6e9ee"/><line x1="${LEFT}" x2="${LEFT + SIZE}" y1="${ty}" y2="${ty}" stroke="#e6e9ee"/><text x="${tx}" y="${TOP + SIZE + 15}" text-anchor="middle">${text}</text><text x="${LEFT - 6}" y="${ty + 4}" text-anchor="end">${text}</text>`;
  });
  const path = (points: readonly TailPoint[]) =>
    points
      .map(
        ({ level, observed }, i) => `${i === 0 ? "M" : "L"}${x(level).toFixed(1)} ${y(observed).toFixed(1)}`,
      )
      .join("");
  const lines = devices.map(
    ({ device, points }) =>
      `<path d="${path(points)}" fill="none" stroke="#2563a8" stroke-opacity="0.45"><title>${htmlText(device)}</title></path>`,
  );
  const levels = devices[0]?.points.map(({ level }) => level) ?? [];
  const middle = levels.map((level, i) => ({
    level,
    observed: median(devices.map(({ points }) => points[i]!.observed)),
  }));
  const thick = `<path d="${path(middle)}" fill="none" stroke="#16406e" stroke-width="2.6"/>`;
  const diagonal = `<line x1="${x(0.001)}" y1="${y(0.001)}" x2="${x(1)}" y2="${y(1)}" stroke="#1c2733" stroke-dasharray="4 3"/>`;
  const titles = `<text x="${LEFT + SIZE / 2}" y="${TOP + SIZE + 32}" text-anchor="middle">tail probability promised</text><text transform="translate(12 ${TOP + SIZE / 2}) rotate(-90)" text-anchor="middle">part of the normal test rows</text>`;
  const width = LEFT + SIZE + 12;
  const height = TOP + SIZE + 40;
  return `<svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="calibration of tail probabilities">${ticks.join("")}${diagonal}${lines.join("")}${thick}${titles}</svg>`;
}

/** -1..0 for 0.001..1, on a logarithmic axis. */
function place(part: number): number {
  return Math.max(-1, Math.log10(Math.max(part, 1e-9)) / DECADES);
}

function median(values: readonly number[]): number {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  const half = sorted.length / 2;
  return sorted.length === 0 ? 0 : (sorted[Math.ceil(half) - 1]! + sorted[Math.floor(half)]!) / 2;
}
