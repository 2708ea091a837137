import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";
import { editDistance, nearest } from "../../protocol/nearest.ts";
import { type CommandSpec, type Flag, flagName, variableName } from "../command.ts";
import { type ConfigFile, readConfigFile } from "./file.ts";
import { expectation, keysAt, type Path, schemaAt } from "./schema.ts";

export interface Given {
  /** Text of each flag that was given, or true for one without a value, by its path. */
  readonly flags: ReadonlyMap<string, string | true>;
  readonly operands: ReadonlyMap<string, string | readonly string[]>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Of --config, or else STARLING_CONFIG. */
  readonly configFile: string | undefined;
}

/**
 * A command's options: file < environment < flags, all held to the command's one schema.
 *
 * Throws BAD_INPUT with one sentence that names the flag, the variable or the file's line, and what is expected there.
 */
export async function resolveOptions<S extends z.ZodObject>(
  spec: Pick<CommandSpec<S>, "options" | "flags" | "operands" | "name">,
  given: Given,
): Promise<z.output<S>> {
  const file = given.configFile === undefined ? undefined : await readConfigFile(given.configFile);
  const values = withoutEmptyMaps(spec.options, file?.values ?? {});
  const sources = new Map<string, Source>();

  refuseMisspelt(spec.flags, given.env);
  for (const flag of spec.flags) {
    const variable = variableName(flag);
    const fromEnv = given.env[variable];
    const fromFlag = given.flags.get(flag.path);
    const text = fromFlag ?? (fromEnv === "" ? undefined : fromEnv);
    if (text === undefined) continue;
    const source = { name: fromFlag === undefined ? variable : flagName(flag), text };
    sources.set(flag.path, source);
    place(values, flag.path, readText(spec.options, flag, source), file);
  }
  for (const operand of spec.operands ?? []) {
    const text = given.operands.get(operand.path);
    if (text === undefined || text.length === 0) continue;
    sources.set(operand.path, { name: operand.name, text: String(text) });
    place(values, operand.path, text, file);
  }

  const parsed = spec.options.safeParse(values);
  if (parsed.success) return parsed.data as z.output<S>;
  throw new FleetError("BAD_INPUT", sentence(spec, parsed.error, sources, file));
}

interface Source {
  /** `--rounds` or `STARLING_ROUNDS` */
  readonly name: string;
  readonly text: string | true;
}

/** Flags and variables are text: what they mean depends on what the schema wants there. */
function readText(options: z.ZodObject, flag: Flag, { name, text }: Source): unknown {
  const schema = schemaAt(options, flag.path.split("."));
  if (text === true) return true;
  if (flag.parse !== undefined) {
    const value = flag.parse.read(text);
    if (value === undefined) throw wrong(name, text, flag.parse.expected);
    return value;
  }
  if (schema instanceof z.ZodNumber) {
    const value = text.trim() === "" ? Number.NaN : Number(text);
    if (Number.isNaN(value)) throw wrong(name, text, expectation(schema));
    return value;
  }
  if (schema instanceof z.ZodBoolean) {
    if (["true", "1"].includes(text)) return true;
    if (["false", "0"].includes(text)) return false;
    throw wrong(name, text, expectation(schema));
  }
  if (schema instanceof z.ZodArray) return text.split(",").map((part) => part.trim());
  return text;
}

function wrong(name: string, text: string, expected: string): FleetError {
  return new FleetError("BAD_INPUT", `${name} is "${text}", but must be ${expected}`);
}

function sentence(
  { name, options, flags, operands = [] }: Pick<CommandSpec, "options" | "flags" | "operands" | "name">,
  error: z.ZodError,
  sources: ReadonlyMap<string, Source>,
  file: ConfigFile | undefined,
): string {
  // A key that is not known explains, more often than not, why another one is missing.
  const issue = error.issues.find(({ code }) => code === "unrecognized_keys") ?? error.issues[0]!;
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0]!;
    const known = keysAt(options, issue.path);
    const near = flags.find((flag) => nameInFile(flag, key))?.path ?? nearest(key, known);
    const whole = [...issue.path, key].join(".");
    const hint = near === undefined ? `known here are ${known.join(", ")}` : `did you mean "${near}"?`;
    return `${file?.whereKey(issue.path, key) ?? "configuration"}: there is no setting "${whole}": ${hint}`;
  }
  const path = issue.path.join(".");
  const schema = schemaAt(options, issue.path);
  const own = issue.code === "custom" || issue.code === "invalid_format";
  const expected = own || schema === undefined ? undefined : expectation(schema);
  const source = sourceOf(sources, issue.path);
  const value = valueAt(file?.values, issue.path);
  if (source !== undefined) {
    const says = source.text === true ? "" : ` "${source.text}"`;
    return expected === undefined
      ? `${source.name}${says} is refused: ${issue.message}`
      : `${source.name} is${says}, but must be ${expected}`;
  }
  if (value !== undefined && file !== undefined) {
    return expected === undefined
      ? `${file.where(issue.path)}: ${path} is refused: ${issue.message}`
      : `${file.where(issue.path)}: ${path} is ${show(value)}, but must be ${expected}`;
  }
  const operand = operands.find((one) => one.path === path);
  if (operand !== undefined) return `${operand.name} is missing: see \`starling ${name} --help\``;
  const flag = flags.find((one) => one.path === path);
  return flag === undefined
    ? `${path === "" ? "the options" : path}: ${issue.message}`
    : `${flagName(flag)} is missing: give ${flag.flag}, ${variableName(flag)} or "${path}" in a --config file`;
}

/** Would somebody who knows the flag write its setting so, at the wrong depth or under the flag's own name? */
function nameInFile(flag: Flag, key: string): boolean {
  return flag.path.split(".").at(-1) === key || flagName(flag).slice(2) === key;
}

function sourceOf(sources: ReadonlyMap<string, Source>, path: Path): Source | undefined {
  for (let length = path.length; length > 0; length--) {
    const source = sources.get(path.slice(0, length).join("."));
    if (source !== undefined) return source;
  }
  return undefined;
}

/**
 * A variable that no setting reads is refused only where it is all but one: others may set STARLING_* too (Kubernetes does, for a
 * service named starling).
 */
function refuseMisspelt(flags: readonly Flag[], env: Given["env"]): void {
  const known = new Set(flags.map(variableName));
  for (const variable of Object.keys(env)) {
    if (!variable.startsWith("STARLING_") || known.has(variable)) continue;
    for (const candidate of known) {
      if (editDistance(variable, candidate) === 1)
        throw new FleetError(
          "BAD_INPUT",
          `there is no setting ${variable} in the environment: did you mean ${candidate}?`,
        );
    }
  }
}

function place(values: Record<string, unknown>, path: string, value: unknown, file: ConfigFile | undefined) {
  const keys = path.split(".");
  let at = values;
  for (const [depth, key] of keys.slice(0, -1).entries()) {
    at[key] ??= {};
    const next = at[key];
    if (!isRecord(next)) {
      const parent = keys.slice(0, depth + 1);
      throw new FleetError(
        "BAD_INPUT",
        `${file?.where(parent)}: ${parent.join(".")} is ${show(next)}, but must be a map of settings`,
      );
    }
    at = next;
  }
  at[keys.at(-1)!] = value;
}

/** `task:` with all of its lines commented out is an empty map to the person who wrote it, and null to YAML. */
function withoutEmptyMaps(schema: z.ZodType, value: Record<string, unknown>): Record<string, unknown> {
  const entries = Object.entries(value).flatMap(([key, inner]): [string, unknown][] => {
    const at = schemaAt(schema, [key]);
    if (!(at instanceof z.ZodObject)) return [[key, inner]];
    if (inner === null) return [];
    return [[key, isRecord(inner) ? withoutEmptyMaps(at, inner) : inner]];
  });
  return Object.fromEntries(entries);
}

function valueAt(values: unknown, path: Path): unknown {
  let at = values;
  for (const key of path) {
    if (typeof at !== "object" || at === null) return undefined;
    at = (at as Record<PropertyKey, unknown>)[key];
  }
  return at;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 40 ? `${text.slice(0, 37)}...` : text;
}
