import { z } from "zod";

export type Path = readonly PropertyKey[];

/** The schema at `path` inside `schema`, without its default or optional wrapping; undefined where there is none. */
export function schemaAt(schema: z.ZodType, path: Path): z.ZodType | undefined {
  let at: z.ZodType | undefined = unwrap(schema);
  for (const key of path) {
    if (at instanceof z.ZodObject) at = at.shape[String(key)];
    else if (at instanceof z.ZodArray) at = at.element as z.ZodType;
    else return undefined;
    if (at === undefined) return undefined;
    at = unwrap(at);
  }
  return at;
}

/** The default at `path`, or undefined where there is none that a person needs to be told. */
export function defaultAt(schema: z.ZodType, path: Path): unknown {
  let at: unknown = schema;
  for (const key of path) {
    const inner = unwrap(at as z.ZodType);
    if (!(inner instanceof z.ZodObject)) return undefined;
    at = inner.shape[String(key)];
  }
  if (!(at instanceof z.ZodDefault)) return undefined;
  const value: unknown = at.def.defaultValue;
  return value === false || value === "" ? undefined : value;
}

export function keysAt(schema: z.ZodType, path: Path): readonly string[] {
  const at = schemaAt(schema, path);
  return at instanceof z.ZodObject ? Object.keys(at.shape) : [];
}

/** What a value at this place must be, in words: "a whole number from 0 to 65535". */
export function expectation(schema: z.ZodType): string {
  return describe(z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as JsonSchema);
}

interface JsonSchema {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly items?: JsonSchema;
}

function describe(schema: JsonSchema): string {
  if (schema.enum !== undefined) return oneOf(schema.enum.map(String));
  if (schema.const !== undefined) return String(schema.const);
  switch (schema.type) {
    case "integer":
      return `a whole number${range(wholeBounds(schema))}`;
    case "number":
      return `a number${range(schema)}`;
    case "boolean":
      return "true or false";
    case "string":
      return "text";
    case "array":
      return `a list of which each entry is ${describe(schema.items ?? {})}`;
    case "object":
      return "a map of settings";
    default:
      return "another kind of value";
  }
}

/** Of whole numbers, "over 0" is "1 or more". */
function wholeBounds({ exclusiveMinimum, exclusiveMaximum, ...rest }: JsonSchema): JsonSchema {
  return {
    ...rest,
    ...(exclusiveMinimum !== undefined && { minimum: exclusiveMinimum + 1 }),
    ...(exclusiveMaximum !== undefined && { maximum: exclusiveMaximum - 1 }),
  };
}

/** z.int() carries the safe integers as its range, which tells nobody anything. */
function range({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: JsonSchema): string {
  const low =
    exclusiveMinimum !== undefined
      ? `over ${exclusiveMinimum}`
      : minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER
        ? `from ${minimum}`
        : undefined;
  const high =
    exclusiveMaximum !== undefined
      ? `below ${exclusiveMaximum}`
      : maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER
        ? `to ${maximum}`
        : undefined;
  if (low === undefined && high === undefined) return "";
  if (low === undefined) return high!.startsWith("to ") ? ` up to ${high!.slice(3)}` : ` ${high}`;
  if (high === undefined) return low.startsWith("from ") ? `, ${low.slice(5)} or more` : ` ${low}`;
  if (low.startsWith("over ")) return ` ${low} and ${high.startsWith("to ") ? `up ${high}` : high}`;
  return high.startsWith("to ") ? ` ${low} ${high}` : ` ${low} and ${high}`;
}

export function oneOf(words: readonly string[]): string {
  return words.length < 2 ? (words[0] ?? "nothing") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

function unwrap(schema: z.ZodType): z.ZodType {
  let at = schema;
  for (;;) {
    if (at instanceof z.ZodDefault || at instanceof z.ZodPrefault) at = at.def.innerType as z.ZodType;
    else if (at instanceof z.ZodOptional || at instanceof z.ZodExactOptional || at instanceof z.ZodNullable)
      at = at.def.innerType as z.ZodType;
    else if (at instanceof z.ZodPipe) at = at.def.in as z.ZodType;
    else return at;
  }
}
