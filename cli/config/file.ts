import { readFile } from "node:fs/promises";
import { FleetError } from "../../protocol/errors.ts";
import type { Path } from "./schema.ts";

/** A YAML file's settings, and where in the file each stands. */
export interface ConfigFile {
  readonly values: Record<string, unknown>;
  /** `fleet.yaml:4:7` for the value at `path`, or for the nearest thing around it that the file has. */
  where(path: Path): string;
  /** ... for the key itself. */
  whereKey(path: Path, key: string): string;
}

/** Throws BAD_INPUT with file, line and column where the file can't be read or is no YAML map. */
export async function readConfigFile(file: string): Promise<ConfigFile> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    throw new FleetError("BAD_INPUT", `the configuration file ${file} can't be read: ${reason(cause)}`, {
      cause,
    });
  }
  return parseConfigFile(text, file);
}

export async function parseConfigFile(text: string, file: string): Promise<ConfigFile> {
  // Loaded only here: most runs have no file, and an agent's memory is small.
  const { isMap, isNode, isScalar, LineCounter, parseDocument } = await import("yaml");
  const lines = new LineCounter();
  const place = (offset: number | undefined): string => {
    if (offset === undefined) return file;
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const fault = document.errors[0];
  if (fault !== undefined)
    throw new FleetError("BAD_INPUT", `${place(fault.pos[0])}: this is no YAML: ${firstLine(fault.message)}`);
  const root = document.contents;
  if (root !== null && !isMap(root) && !(isScalar(root) && root.value === null))
    throw new FleetError("BAD_INPUT", `${file} must be a YAML map of settings, such as "rounds: 10"`);

  let values: Record<string, unknown>;
  try {
    values = (document.toJS({ maxAliasCount: 100 }) ?? {}) as Record<string, unknown>;
  } catch (cause) {
    throw new FleetError("BAD_INPUT", `${file} can't be read as YAML: ${reason(cause)}`, { cause });
  }

  const startOf = (node: unknown): number | undefined =>
    isNode(node) && node.range ? node.range[0] : undefined;
  return {
    values,
    where(path) {
      for (let length = path.length; length > 0; length--) {
        const offset = startOf(document.getIn(path.slice(0, length), true));
        if (offset !== undefined) return place(offset);
      }
      return file;
    },
    whereKey(path, key) {
      const map = path.length === 0 ? root : document.getIn(path, true);
      if (!isMap(map)) return file;
      const pair = map.items.find((item) => isScalar(item.key) && String(item.key.value) === key);
      return place(startOf(pair?.key));
    },
  };
}

function firstLine(text: string): string {
  return text.split("\n")[0]!.replace(/[.:]$/, "");
}

function reason(cause: unknown): string {
  return cause instanceof Error ? firstLine(cause.message) : String(cause);
}
