import { z } from "zod";
import type { ChannelLetter } from "../../protocol/device-channels.ts";
import { FleetError } from "../../protocol/errors.ts";
import { limits } from "../../protocol/limits.ts";
import { nearest } from "../../protocol/nearest.ts";

/**
 * What each column of a device's data is, so that a network gets numbers that mean something. It is plain JSON. Devices
 * of one fleet must prepare their rows alike: births and versions carry the channels' names and `channelKindsOf`.
 *
 * - gauge: a level, taken as it is.
 * - counter: a total that only grows (bytes sent, requests served); becomes its increase per second. Falling back is
 *   a reset, or a wrap at `wrap` where that is given (see `prepare.ts`).
 * - heavy-tailed: a size that spans orders of magnitude (bytes, durations); becomes sign(x) * ln(1 + |x|).
 * - categorical: a word out of `values`; becomes one channel of 0/1 for each value and one for every other word.
 */
export const ColumnSchema = z.discriminatedUnion("kind", [
  z.strictObject({ name: columnName(), kind: z.literal("gauge") }),
  z.strictObject({
    name: columnName(),
    kind: z.literal("counter"),
    /** The value at which it starts again from 0, such as 2^32 for a 32-bit counter. */
    wrap: z.number().positive().optional(),
  }),
  z.strictObject({ name: columnName(), kind: z.literal("heavy-tailed") }),
  z.strictObject({ name: columnName(), kind: z.literal("categorical"), values: vocabulary() }),
]);
export type ColumnSchema = z.infer<typeof ColumnSchema>;

export const Schema = z.strictObject({
  columns: z
    .array(ColumnSchema)
    .min(1)
    .max(4096)
    .refine((columns) => isDistinct(columns.map(({ name }) => name)), "a column is named twice"),
});
export type Schema = z.infer<typeof Schema>;

/** The channel for words that a categorical column's vocabulary does not have. */
export const OTHER = "other";

/** The channels that the columns become, in order: `flag=SF`, `flag=other` for a categorical one, else its own name. */
export function channelsOf({ columns }: Schema): string[] {
  return columns.flatMap((column) =>
    column.kind === "categorical" ? wordsOf(column).map((word) => `${column.name}=${word}`) : [column.name],
  );
}

/** The letter of each channel (protocol/device-channels.ts), or undefined where all columns are gauges: then nothing is prepared. */
export function channelKindsOf({ columns }: Schema, per: "second" | "row"): string | undefined {
  if (columns.every(({ kind }) => kind === "gauge")) return undefined;
  const lettersOf = (column: ColumnSchema): readonly ChannelLetter[] => {
    if (column.kind === "categorical") return wordsOf(column).map(() => "w");
    if (column.kind === "counter") return [per === "second" ? "c" : "r"];
    return [column.kind === "heavy-tailed" ? "h" : "g"];
  };
  return columns.flatMap(lettersOf).join("");
}

export function hasCounters({ columns }: Schema): boolean {
  return columns.some(({ kind }) => kind === "counter");
}

/** The vocabulary with "other" at its end, unless the data itself has that word. */
export function wordsOf({ values }: { readonly values: readonly string[] }): readonly string[] {
  return values.includes(OTHER) ? values : [...values, OTHER];
}

/** How a set's description or a user names the kinds: all columns that are not named are gauges. */
export const Kinds = z
  .strictObject({
    counter: z
      .array(z.union([columnName(), z.strictObject({ column: columnName(), wrap: z.number().positive() })]))
      .optional(),
    "heavy-tailed": z.array(columnName()).optional(),
    categorical: z.record(columnName(), vocabulary()).optional(),
  })
  .superRefine((kinds, context) => {
    const names = namedIn(kinds);
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    if (twice !== undefined)
      context.addIssue({
        code: "custom",
        message: `the column "${twice}" is named twice; a column is of one kind`,
      });
  });
export type Kinds = z.infer<typeof Kinds>;

/**
 * The schema of these columns, in their order. `where` stands in the messages: the file or stream. Throws BAD_INPUT for a name in `kinds`
 * that is none of them, with the nearest one.
 */
export function schemaFor(columns: readonly string[], kinds: Kinds | undefined, where: string): Schema {
  const { schema, unknown } = schemaOf(columns, kinds);
  const [name] = unknown;
  if (name === undefined) return schema;
  const near = nearest(name, columns);
  const hint =
    near === undefined
      ? `there are ${columns.slice(0, MOST_LISTED).join(", ")}${columns.length > MOST_LISTED ? ", ..." : ""}`
      : `did you mean "${near}"?`;
  throw new FleetError(
    "BAD_INPUT",
    `${where}: kinds names the column "${name}", which is no channel here; ${hint}`,
  );
}

/** As `schemaFor`, of a device, whose channels are not without limit. */
export function deviceSchema(columns: readonly string[], kinds: Kinds, where: string): Schema {
  const schema = schemaFor(columns, kinds, where);
  const { length } = channelsOf(schema);
  if (length > limits.channels)
    throw new FleetError(
      "BAD_INPUT",
      `${where}: its ${columns.length} columns become ${length} channels by their kinds, and a device has 1 to ${limits.channels}; give categorical columns fewer words`,
    );
  return schema;
}

const MOST_LISTED = 8;

/** The schema of these columns, in their order, and the names in `kinds` that are none of them. */
export function schemaOf(
  columns: readonly string[],
  kinds: Kinds = {},
): { readonly schema: Schema; readonly unknown: readonly string[] } {
  const known = new Map<string, ColumnSchema>();
  for (const counter of kinds.counter ?? []) {
    if (typeof counter === "string") known.set(counter, { name: counter, kind: "counter" });
    else known.set(counter.column, { name: counter.column, kind: "counter", wrap: counter.wrap });
  }
  for (const name of kinds["heavy-tailed"] ?? []) known.set(name, { name, kind: "heavy-tailed" });
  for (const [name, values] of Object.entries(kinds.categorical ?? {}))
    known.set(name, { name, kind: "categorical", values });
  return {
    schema: { columns: columns.map((name) => known.get(name) ?? { name, kind: "gauge" }) },
    unknown: [...known.keys()].filter((name) => !columns.includes(name)),
  };
}

function namedIn({ counter = [], "heavy-tailed": heavyTailed = [], categorical = {} }: Kinds): string[] {
  const counters = counter.map((one) => (typeof one === "string" ? one : one.column));
  return [...counters, ...heavyTailed, ...Object.keys(categorical)];
}

function columnName() {
  return z.string().min(1).max(256);
}

function vocabulary() {
  return z.array(z.string().min(1).max(256)).min(1).max(1024).refine(isDistinct, "a value is named twice");
}

function isDistinct(names: readonly string[]): boolean {
  return new Set(names).size === names.length;
}
