import { join } from "node:path";
import { FleetError } from "../../protocol/errors.ts";
import { listFolder } from "./list-folder.ts";
import { SERIES_ENDINGS } from "./read.ts";

/** The files of one device. */
export interface DeviceFiles {
  /** A valid device id, made from the files' name. */
  readonly device: string;
  readonly train: string;
  readonly test: string;
  readonly label?: string;
}

/**
 * A folder is a data set without code: NAME_train, NAME_test and, where known, NAME_label, each `.npy`, `.csv`,
 * `.tsv` or `.txt`, plain or with `.gz`. Other files are left alone. Sorted by device, numbers by their value.
 * Throws BAD_INPUT when there is no such file, and for a file without its partner.
 */
export async function readFolder(folder: string): Promise<DeviceFiles[]> {
  const found = new Map<string, Partial<Record<Part, string>>>();
  for (const file of (await listFolder(folder)).map(({ name }) => name).sort()) {
    const match = FILE.exec(file);
    if (!match) continue;
    const [, name, part] = match as unknown as [string, string, Part];
    const parts = found.get(name) ?? {};
    const twice = parts[part];
    if (twice) throw bad(folder, `holds both ${twice} and ${file}; remove one of them`);
    found.set(name, { ...parts, [part]: file });
  }
  if (found.size === 0) {
    throw bad(folder, "holds no NAME_train and NAME_test files (.npy or .csv, plain or .gz); name them so");
  }
  const names = new Map<string, string>();
  const devices = [...found].map(([name, { train, test, label }]): DeviceFiles => {
    if (!train || !test) {
      const missing = train ? "test" : "train";
      throw bad(folder, `holds ${train ?? test ?? label} but no ${name}_${missing}; add it`);
    }
    const device = deviceId(name);
    const other = names.get(device);
    if (other)
      throw bad(folder, `names ${other} and ${name} both make the device id "${device}"; rename one`);
    names.set(device, name);
    const path = (file: string) => join(folder, file);
    return { device, train: path(train), test: path(test), ...(label ? { label: path(label) } : {}) };
  });
  return devices.sort((a, b) => NUMERIC.compare(a.device, b.device));
}

/** The nearest valid device id to a name: "Pump 3 (north)" gives "pump-3-north". */
export function deviceId(name: string): string {
  const id = name
    .toLowerCase()
    .replace(/[^a-z0-9_-]+/g, "-")
    .replace(/^[_-]+/, "")
    .slice(0, LONGEST_ID)
    .replace(/[_-]+$/, "");
  return id === "" ? "device" : id;
}

type Part = "train" | "test" | "label";

/** See protocol/ids.ts. */
const LONGEST_ID = 63;
const NUMERIC = new Intl.Collator("en", { numeric: true });
const ENDINGS = SERIES_ENDINGS.map((ending) => ending.replace(".", "\\.")).join("|");
const FILE = new RegExp(`^([^.].*)_(train|test|label)(?:${ENDINGS})(?:\\.gz)?$`);

function bad(folder: string, what: string): FleetError {
  return new FleetError("BAD_INPUT", `${folder}: ${what}`);
}
