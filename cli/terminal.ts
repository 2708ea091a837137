import type { Terminal } from "./command.ts";

/** Colors only where people look, and not where NO_COLOR (no-color.org) is set to anything but nothing. */
export function realTerminal(): Terminal {
  const { stdout, stderr, env } = process;
  return { stdout, stderr, colors: stderr.isTTY === true && !env.NO_COLOR && env.TERM !== "dumb" };
}

export type Color = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";
const codes: Record<Color, number> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 };

export type Paint = (color: Color, text: string) => string;

export function painter(colors: boolean): Paint {
  return (color, text) => (colors ? `\u001b[${codes[color]}m${text}\u001b[0m` : text);
}

/** Text that came from a device, for a terminal: control characters could do anything to it. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, "?");
}

/** What a command answers: one JSON value on stdout with --json, or else text for people. */
export function answer(
  { stdout }: Terminal,
  json: boolean,
  { value, text }: { value: unknown; text: () => string },
) {
  stdout.write(`${json ? JSON.stringify(value) : text()}\n`);
}
