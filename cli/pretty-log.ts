import type { Terminal } from "./command.ts";
import { type Color, painter, printable } from "./terminal.ts";

const names: Readonly<Record<number, readonly [string, Color]>> = {
  20: ["debug", "dim"],
  30: ["info", "cyan"],
  40: ["warn", "yellow"],
  50: ["error", "red"],
  60: ["fatal", "red"],
};

/** Turns pino's JSON lines into lines for people: time, level, message, fields. */
export function prettyLog({ stderr, colors }: Pick<Terminal, "stderr" | "colors">): {
  write(line: string): void;
} {
  const paint = painter(colors);
  return {
    write(line) {
      const { level, time, msg, err, ...fields } = JSON.parse(line) as {
        level: number;
        time: number;
        msg?: string;
        err?: { message: string; stack?: string };
      };
      const [name, color] = names[level] ?? ["log", "dim"];
      const rest = Object.entries(fields).map(
        ([key, value]) => `${key}=${typeof value === "object" ? JSON.stringify(value) : value}`,
      );
      const clock = new Date(time).toTimeString().slice(0, 8);
      stderr.write(
        `${paint("dim", clock)} ${paint(color, name.padEnd(5))} ${printable(msg ?? "")} ${paint("dim", printable(rest.join(" ")))}`.trimEnd() +
          `\n${err === undefined ? "" : `${err.stack ?? err.message}\n`}`,
      );
    },
  };
}
