import { cpus, loadavg } from "node:os";
import type { z } from "zod";

/** One benchmark. Its options are described once, in `options`; `flags` say how they are given. */
export interface Bench<S extends z.ZodObject = z.ZodObject> {
  readonly name: string;
  readonly description: string;
  readonly options: S;
  readonly flags: readonly BenchFlag[];
  readonly examples: readonly { readonly command: string; readonly what: string }[];
  /** Throws FleetError; BAD_INPUT ends in exit code 2. */
  run(options: z.output<S>, stage: Stage): Promise<Result>;
}

export interface BenchFlag {
  /** Key in `options`. */
  readonly key: string;
  /** As commander writes it: `--rounds <n>`. */
  readonly flag: string;
  readonly description: string;
}

/** Where a benchmark says how far it is, and hears that it is to end. */
export interface Stage {
  /** One line that replaces the one before, on a terminal only. */
  progress(text: string): void;
  readonly signal: AbortSignal;
}

export interface Result {
  /** For machines: printed beside `machine`. */
  readonly value: object;
  /** For people. */
  readonly text: string;
}

export function bench<S extends z.ZodObject>(spec: Bench<S>): Bench<S> {
  return spec;
}

/** Where the numbers were taken. `load` is the load average of the minute before: near 0 where nobody else was at work. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
  readonly load: number;
}

export function describeMachine(): Machine {
  const all = cpus();
  const cpu = all[0]?.model.trim() || "unknown";
  return { cpu, cores: all.length, node: process.version, load: Math.round(loadavg()[0]! * 100) / 100 };
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Median (the mean of the middle two where their number is even) and range. NaN for no values. */
export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length / 2;
  const at = (i: number) => sorted[i] ?? Number.NaN;
  const median = Number.isInteger(half) ? (at(half - 1) + at(half)) / 2 : at(Math.floor(half));
  return { median, min: at(0), max: at(sorted.length - 1) };
}
