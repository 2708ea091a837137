import { Kinds } from "../../models/data/schema.ts";
import { FleetError } from "../../protocol/errors.ts";
import { nearest } from "../../protocol/nearest.ts";
import type { Flag } from "../command.ts";
import { readConfigFile } from "./file.ts";

export const kindsFlag: Flag = {
  path: "kinds",
  flag: "--kinds <file>",
  description:
    "YAML or JSON that says which columns are counters, heavy-tailed or categorical, such as { counter: [bytes], categorical: { state: [on, off] } }",
};

/** The kinds of columns in `file`, alone or under a key `kinds` as a data set's description has them. Throws BAD_INPUT with one sentence. */
export async function readKinds(file: string): Promise<Kinds> {
  const { values, where, whereKey } = await readConfigFile(file);
  const inner = Object.keys(values).join() === "kinds" ? ["kinds"] : [];
  const found = inner.length > 0 ? values.kinds : values;
  const parsed = Kinds.safeParse(found);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const path = [...inner, ...issue.path];
    if (issue.code === "unrecognized_keys" && issue.path.length === 0) {
      const key = issue.keys[0]!;
      const near = nearest(key, names);
      const hint = near === undefined ? `there are ${names.join(", ")}` : `did you mean "${near}"?`;
      throw bad(`${whereKey(path, key)}: there is no kind "${key}": ${hint}`);
    }
    const expected = shapes[issue.path[0] as keyof typeof shapes];
    const at = path.length === 0 ? "" : `${path.join(".")} is refused: `;
    const what =
      issue.code === "custom" || expected === undefined
        ? issue.message
        : `${String(issue.path[0])} must be ${expected}`;
    throw bad(`${where(path)}: ${at}${what}`);
  }
  const { counter = [], "heavy-tailed": heavyTailed = [], categorical = {} } = parsed.data;
  if (counter.length + heavyTailed.length + Object.keys(categorical).length === 0)
    throw bad(`${file}: names no column; give counter, heavy-tailed or categorical, or leave out --kinds`);
  return parsed.data;
}

const shapes = {
  counter: "a list of columns, each a name or { column: NAME, wrap: NUMBER ABOVE 0 }",
  "heavy-tailed": "a list of columns",
  categorical:
    "a map of columns to lists of different words, numbers in quotes, such as { state: [on, off] }",
} as const;
const names = Object.keys(shapes);

function bad(what: string): FleetError {
  return new FleetError("BAD_INPUT", what);
}
