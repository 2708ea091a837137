import { table } from "../table.ts";
import { printable } from "../terminal.ts";
import type { AlarmView } from "./write-scores.ts";

/** `what`: what an alarm is made of. */
export function alarmsTable(alarms: readonly AlarmView[], threshold: number, what = "channels"): string {
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
        title: what,
        value: ({ channels }) =>
          channels.map(({ name, share }) => `${printable(name)} ${Math.round(100 * share)} %`).join(", "),
      },
    ],
    alarms,
  );
}
