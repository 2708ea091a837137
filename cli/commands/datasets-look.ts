import { type OpenOptions, openDataSets } from "../../models/data/data-set.ts";
import { FleetError } from "../../protocol/errors.ts";
import { table } from "../table.ts";

interface Look {
  readonly sets: readonly {
    readonly name: string;
    readonly title: string;
    readonly kind: string;
    readonly readBy: string;
    readonly devices: readonly DeviceLook[];
  }[];
}

interface DeviceLook {
  readonly device: string;
  readonly group?: string;
  readonly trainRows: number;
  readonly testRows: number;
  readonly channels: number;
  /** Part of the test rows; absent where there are no labels. */
  readonly anomalous?: number;
  readonly notes: readonly string[];
}

/** Reads a folder as `starling evaluate` would, device by device, so that a mistake in it shows before anything is trained. */
export async function look(path: string | undefined, options: OpenOptions): Promise<Look> {
  if (path === undefined)
    throw new FleetError(
      "BAD_INPUT",
      "NAME is missing: `starling datasets look DIR`, where DIR is a folder of data",
    );
  const sets = [];
  for (const { name, title, kind, readBy, devices } of await openDataSets(path, options)) {
    const looks: DeviceLook[] = [];
    for (const { device, group, load } of devices) {
      const { train, test, labels, notes } = await load();
      const anomalous = labels && labels.reduce((sum, label) => sum + label, 0) / labels.length;
      looks.push({
        device,
        ...(group === undefined ? {} : { group }),
        trainRows: train.rows,
        testRows: test.rows,
        channels: train.channels,
        ...(anomalous === undefined ? {} : { anomalous }),
        notes,
      });
    }
    sets.push({ name, title, kind, readBy, devices: looks });
  }
  return { sets };
}

export function lookText({ sets }: Look): string {
  return sets
    .map(({ name, title, kind, readBy, devices }) => {
      const rows = table<DeviceLook>(
        [
          { title: "device", value: ({ device }) => device },
          { title: "group", value: ({ group }) => group ?? "-" },
          { title: "train rows", value: ({ trainRows }) => trainRows, digits: 0 },
          { title: "test rows", value: ({ testRows }) => testRows, digits: 0 },
          { title: "channels", value: ({ channels }) => channels, digits: 0 },
          {
            title: "anomalous",
            value: ({ anomalous }) => (anomalous === undefined ? "-" : `${(100 * anomalous).toFixed(1)} %`),
          },
        ],
        devices,
      );
      const notes = devices.flatMap((device) => device.notes.map((note) => `note: ${note}`));
      return [`${name}: ${title} (${kind}), read by ${readBy}`, rows, ...notes].join("\n");
    })
    .join("\n\n");
}
