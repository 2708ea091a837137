import {
  type DetectorName,
  detectorNames,
  kindOf,
  tunedOptions,
  unsetOptions,
} from "../../models/detectors/catalog.ts";
import type { DetectorKind, Input } from "../../models/detectors/kind.ts";
import { FleetError } from "../../protocol/errors.ts";
import { nearest } from "../../protocol/nearest.ts";
import type { DetectorSpec } from "../../protocol/task.ts";

export const EVERY = "all";
const OWN = "layers-model";

/** What a set has to learn from. */
export interface Learnable {
  readonly kind: Input;
  /** Known classes that its training rows are of: 0, 1, ...; fewer than two are nothing to tell apart. */
  readonly classes: number;
}

export interface Choice {
  readonly spec: DetectorSpec;
  readonly kind: DetectorKind;
}

/**
 * The detectors that were asked for, each with the task's settings and its own options. `all` leaves out what is not meant
 * for the set; of those that are named, one that can't learn from it is an error (a detector for series that is named takes the rows of anything, in the order
 * in which they stand).
 */
export async function chooseDetectors(
  base: DetectorSpec,
  {
    names,
    options,
    of,
    topology,
  }: {
    readonly names: readonly string[];
    readonly options: readonly string[];
    readonly of: Learnable;
    /** The network of layers-model, where --topology gave one. */
    readonly topology?: string | undefined;
  },
): Promise<Choice[]> {
  const named = names.filter((name) => name !== EVERY).map(detectorName);
  const wanted = names.includes(EVERY) ? detectorNames : [...new Set(named)];
  const changes = options.map(readOption);
  const idle = changes.find(({ name }) => !wanted.includes(name));
  if (idle)
    throw new FleetError(
      "BAD_INPUT",
      `--options sets ${idle.key} of ${idle.name}, which --detector does not name`,
    );
  if (topology !== undefined && !wanted.includes(OWN))
    throw new FleetError(
      "BAD_INPUT",
      `--topology is for the detector ${OWN}, which --detector does not name; name it, or leave --topology out`,
    );
  const choices: Choice[] = [];
  for (const name of wanted) {
    const kind = await kindOf(name);
    const asked = base.name === name ? base : { ...base, topology: undefined };
    const own = name === OWN && topology !== undefined ? { ...asked, topology } : asked;
    if (!named.includes(name)) {
      if (!isMeantFor(kind, of) || (name === OWN && own.topology === undefined)) continue;
    } else if (kind.supervised && of.classes < 2) {
      throw new FleetError(
        "BAD_INPUT",
        `${name} learns from classes, and the training rows of this set have none to tell apart`,
      );
    } else if (kind.input === "images" && of.kind !== "images") {
      throw new FleetError("BAD_INPUT", `${name} needs images, and this set has ${of.kind}`);
    }
    const changed = Object.fromEntries(
      changes.filter((change) => change.name === name).map(({ key, value }) => [key, value]),
    );
    const { topology: network, ...rest } = own;
    const spec = {
      ...rest,
      ...(network !== undefined && { topology: network }),
      name,
      options: { ...classesFor(kind, of), ...(name === base.name ? base.options : {}), ...changed },
    };
    tunedOptions(kind, spec);
    const unset = unsetOptions(kind, spec);
    if (unset.length > 0) {
      if (!named.includes(name)) continue;
      throw new FleetError(
        "BAD_INPUT",
        `${name} can't guess its options ${unset.join(" and ")}; give --options ${unset.map((key) => `${name}.${key}=N`).join(",")}`,
      );
    }
    choices.push({ spec, kind });
  }
  return choices;
}

/** Throws BAD_INPUT with the nearest name for one that is not in the catalog. */
export function detectorName(text: string): DetectorName {
  const name = detectorNames.find((known) => known === text);
  if (name !== undefined) return name;
  const near = nearest(text, [...detectorNames, EVERY]);
  const hint = near === undefined ? `known are ${detectorNames.join(", ")}` : `did you mean "${near}"?`;
  throw new FleetError("BAD_INPUT", `there is no detector "${text}": ${hint}`);
}

/** The set knows its classes better than a default does. */
function classesFor(
  { supervised, hyperparameters }: DetectorKind,
  { classes }: Learnable,
): { classes?: number } {
  return supervised && hyperparameters.classes ? { classes } : {};
}

/** What takes each row by itself can take the rows of anything. */
function isMeantFor({ input, supervised }: DetectorKind, of: Learnable): boolean {
  return (!supervised || of.classes >= 2) && (input === of.kind || input === "records");
}

function readOption(text: string): { name: DetectorName; key: string; value: number } {
  const match = /^([^.=]+)\.([^=]+)=(.+)$/.exec(text);
  const value = Number(match?.[3]);
  if (!match || Number.isNaN(value))
    throw new FleetError(
      "BAD_INPUT",
      `--options "${text}" can't be read; write DETECTOR.OPTION=NUMBER, as gru-forecaster.units=64`,
    );
  return { name: detectorName(match[1]!), key: match[2]!, value };
}
