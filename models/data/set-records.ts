import { FleetError } from "../../protocol/errors.ts";
import { createRandom } from "../engine/random.ts";
import { quoted } from "./csv.ts";
import { checkedDevice, type DeviceSet } from "./device-set.ts";
import { deviceId } from "./folder.ts";
import { type Schema, schemaFor } from "./schema.ts";
import type { Series } from "./series.ts";
import type { RecordsDescription } from "./set-description.ts";
import { findFile } from "./set-files.ts";
import { readLayout, readTable } from "./table.ts";

/**
 * Devices of a file of records. The split is drawn over all rows at once, so that the part of a row does not hang on
 * how devices are made; both parts keep the file's order. Anomalous rows of the part to train on are left out.
 */
export async function openRecords(
  folder: string,
  options: RecordsDescription,
): Promise<{ readonly devices: DeviceSet[]; readonly schema: Schema }> {
  const path = await findFile(folder, options.file);
  const { deviceColumn, labelColumn, normalLabels, delimiter, ignoreColumns, columns: columnNames } = options;
  const layout = { delimiter, columnNames, labelColumn, ignoreColumns };
  const { columns } = await readLayout(path, layout);
  const bad = (what: string) => new FleetError("BAD_INPUT", `${path}: ${what}`);
  const all = columns.filter(({ role }) => role === "channel").map(({ name }) => name);
  if (!all.includes(deviceColumn)) throw bad(`has no column ${quoted(deviceColumn)} to tell devices by`);
  const schema = schemaFor(
    all.filter((name) => name !== deviceColumn),
    options.kinds,
    path,
  );
  const { series, labels, texts } = await readTable(path, {
    ...layout,
    schema,
    normalLabels,
    texts: [deviceColumn],
  });
  const isTest = heldOut(series.rows, options.testFraction, options.seed);
  const words = texts[deviceColumn]!;

  const trainable = new Map<string, number>();
  for (let row = 0; row < series.rows; row++)
    if (!isTest[row] && labels![row] === 0) trainable.set(words[row]!, (trainable.get(words[row]!) ?? 0) + 1);
  const isOwn = (word: string) => (trainable.get(word) ?? 0) >= options.minTrainRows;
  if ([...trainable.keys()].some((word) => isOwn(word) && deviceId(word) === deviceId(options.pool)))
    throw bad(`has a device ${quoted(options.pool)}, as the pool of small ones is called; rename the pool`);

  const rowsOf = new Map<string, { train: number[]; test: number[] }>();
  for (let row = 0; row < series.rows; row++) {
    const device = deviceId(isOwn(words[row]!) ? words[row]! : options.pool);
    let rows = rowsOf.get(device);
    if (!rows) {
      rows = { train: [], test: [] };
      rowsOf.set(device, rows);
    }
    if (isTest[row]) rows.test.push(row);
    else if (labels![row] === 0) rows.train.push(row);
  }
  const pool = rowsOf.get(deviceId(options.pool));
  if (pool && pool.train.length === 0 && pool.test.length > 0)
    throw bad(
      `the pool ${quoted(options.pool)} of small devices has rows to judge and no normal row to train on; raise minTrainRows (${options.minTrainRows}) so that more devices join it`,
    );
  const devices = [...rowsOf]
    .filter(([, { train }]) => train.length > 0)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(
      ([device, { train, test }]): DeviceSet => ({
        device,
        judged: test.length > 0,
        load: async () =>
          checkedDevice(`${path} (${device})`, {
            train: rowsAt(series, train),
            test: rowsAt(series, test),
            labels: Uint8Array.from(test, (row) => labels![row]!),
          }),
      }),
    );
  if (devices.length === 0) throw bad("has no normal row to train on; look at labelColumn and normalLabels");
  return { devices, schema };
}

/** (rows) 1 = held out: the first of a seeded shuffle. */
function heldOut(rows: number, fraction: number, seed: number): Uint8Array {
  const order = Uint32Array.from({ length: rows }, (_, row) => row);
  createRandom(seed).shuffle(order);
  const out = new Uint8Array(rows);
  for (const row of order.subarray(0, Math.round(rows * fraction))) out[row] = 1;
  return out;
}

function rowsAt({ channels, values, names }: Series, at: readonly number[]): Series {
  const picked = new Float32Array(at.length * channels);
  at.forEach((row, i) => {
    picked.set(values.subarray(row * channels, (row + 1) * channels), i * channels);
  });
  return { rows: at.length, channels, values: picked, names };
}
