import type { AlertView, RoundView } from "../../protocol/api.ts";
import type { Terminal } from "../command.ts";
import { channelsText, timeText } from "../commands/status.ts";
import { type Paint, painter, printable } from "../terminal.ts";

/** What the demo shows while it runs. Lines go to stderr; the bar only where people look. */
export interface Screen {
  line(text: string): void;
  progress(done: number, text: string): void;
  /** Gives the terminal back; a second time does nothing. */
  close(): void;
  readonly paint: Paint;
}

export async function openScreen(
  { stderr, colors }: Terminal,
  { bar, total }: { bar: boolean; total: number },
): Promise<Screen> {
  const paint = painter(colors);
  if (!bar)
    return {
      paint,
      line: (text) => void stderr.write(`${text}\n`),
      progress() {},
      close() {},
    };
  const { MultiBar, Presets } = (await import("cli-progress")).default;
  const bars = new MultiBar(
    {
      stream: stderr,
      clearOnComplete: true,
      hideCursor: true,
      format: `${paint("cyan", "{bar}")} {percentage} % {text}`,
      barsize: 28,
    },
    Presets.shades_classic,
  );
  const one = bars.create(total, 0, { text: "starting" });
  let open = true;
  return {
    paint,
    // A line that wraps would leave parts of the bar behind.
    line: (text) => void bars.log(`${text}\n`),
    progress: (done, text) => one.update(Math.min(done, total), { text }),
    close() {
      if (open) bars.stop();
      open = false;
    },
  };
}

export function roundLine(view: RoundView, total: number, paint: Paint): string {
  const { round, phase, invited, accepted, declined, loss, openedMs, closedMs, reason } = view;
  if (phase === "aborted") {
    const said = declined.map(({ device, code }) => `${device}: ${printable(code)}`).join(", ");
    const why = said === "" ? "" : ` (${said})`;
    return paint("yellow", `round ${round} of ${total} was aborted: ${reason ?? "no reason given"}${why}`);
  }
  const seconds = closedMs === null ? "" : `  ${((closedMs - openedMs) / 1000).toFixed(1)} s`;
  const head = paint("bold", `round ${String(round).padStart(String(total).length)} of ${total}`);
  const answered = new Set([...accepted, ...declined.map(({ device }) => device)]);
  const missing = invited.filter((device) => !answered.has(device));
  const behind = missing.length === 0 ? "" : paint("yellow", `  closed without ${missing.join(", ")}`);
  return `${head}  invited ${invited.length}  accepted ${accepted.length}  loss ${loss?.toFixed(5) ?? "-"}${seconds}${behind}`;
}

export function lateLine(view: RoundView, device: string, paint: Paint): string {
  return paint("yellow", `late      ${device}: its update for round ${view.round} came after the close`);
}

export function alertLine(view: AlertView, paint: Paint): string {
  const { device, atMs, phase, score, threshold, durationRows } = view;
  if (phase === "end")
    return paint("dim", `alert end ${device}  ${timeText(atMs)}  after ${durationRows ?? "?"} rows`);
  const strength = (score / threshold).toFixed(1);
  return `${paint("red", "alert")}     ${device}  ${timeText(atMs)}  ${strength} x threshold  ${channelsText(view)}`;
}
