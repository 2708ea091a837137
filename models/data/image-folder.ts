import type { Dirent } from "node:fs";
import { join } from "node:path";
import { FleetError } from "../../protocol/errors.ts";
import { DEFAULT_MAX_BYTES, fileBytes, type ReadLimits, tooLarge } from "./bytes.ts";
import { decodeImage, type Raster, rasterise } from "./image.ts";
import { listFolder } from "./list-folder.ts";
import type { ImageOptions } from "./picture.ts";

export interface ImageFolderOptions extends ReadLimits, ImageOptions {
  /** The size that every picture gets, and 1 = grey or 3 = RGB. */
  readonly size: Raster;
  /** Most bytes of one file. */
  readonly maxFileBytes?: number;
}

export interface ImageSet extends Raster {
  readonly count: number;
  /** (count, height, width, channels), 0..1. */
  readonly values: Float32Array;
  /** (count), the paths within the folder. */
  readonly files: readonly string[];
  /** Names of the sub-folders, sorted; empty where the pictures lie in the folder itself. */
  readonly classes: readonly string[];
  /** (count), index into `classes`; undefined where there are none. */
  readonly labels?: Uint16Array;
}

const DEFAULT_MAX_FILE_BYTES = 64 * 1024 * 1024;
const ENDING = /\.(?:png|jpe?g)$/i;
const NUMERIC = new Intl.Collator("en", { numeric: true });

/**
 * Reads a folder of PNG and JPEG pictures. Each sub-folder is a class and its name the label, or all of them lie in the folder itself and have none.
 * Other files, hidden ones and links are left alone. In the order of class and name, numbers by their value. Throws BAD_INPUT with the
 * file that can't be read, for a folder without pictures, and for one with pictures both beside and inside its sub-folders.
 */
export async function readImageFolder(folder: string, options: ImageFolderOptions): Promise<ImageSet> {
  const { size, maxBytes = DEFAULT_MAX_BYTES, maxFileBytes = DEFAULT_MAX_FILE_BYTES, signal } = options;
  const { width, height, channels } = size;
  if (!(Number.isInteger(width) && Number.isInteger(height) && width >= 1 && height >= 1))
    throw bad(folder, `pictures can't be made ${width} x ${height}; give whole numbers above 0`);
  const { files, classes, labels } = await filesOf(folder);
  const each = width * height * channels;
  if (files.length * each * 4 > maxBytes) throw tooLarge(folder, maxBytes);
  const values = new Float32Array(files.length * each);
  for (const [i, file] of files.entries()) {
    const path = join(folder, file);
    const bytes = await fileBytes(path, { maxBytes: maxFileBytes, signal });
    const picture = await decodeImage(bytes, path, options);
    rasterise(picture, size, values.subarray(i * each, (i + 1) * each));
  }
  return {
    width,
    height,
    channels,
    count: files.length,
    values,
    files,
    classes,
    ...(classes.length > 0 ? { labels } : {}),
  };
}

async function filesOf(
  folder: string,
): Promise<{ readonly files: string[]; readonly classes: string[]; readonly labels: Uint16Array }> {
  const entries = await listFolder(folder);
  const own = pictures(entries);
  const files: string[] = [];
  const classes: string[] = [];
  const labels: number[] = [];
  for (const name of sorted(entries.filter((entry) => entry.isDirectory()))) {
    const inside = pictures(await listFolder(join(folder, name)));
    if (inside.length === 0) continue;
    if (own.length > 0)
      throw bad(
        folder,
        `holds pictures (${own[0]}) and a folder of pictures (${name}); put all of them into folders`,
      );
    for (const file of inside) {
      files.push(join(name, file));
      labels.push(classes.length);
    }
    classes.push(name);
  }
  if (files.length + own.length === 0)
    throw bad(folder, "holds no pictures (.png, .jpg, .jpeg), nor do its folders; check the path");
  return { files: own.length > 0 ? own : files, classes, labels: Uint16Array.from(labels) };
}

function pictures(entries: readonly Dirent[]): string[] {
  return sorted(entries.filter((entry) => entry.isFile() && ENDING.test(entry.name)));
}

function sorted(entries: readonly Dirent[]): string[] {
  const names = entries.map(({ name }) => name).filter((name) => !name.startsWith("."));
  return names.sort((a, b) => NUMERIC.compare(a, b) || (a < b ? -1 : 1));
}

function bad(folder: string, what: string): FleetError {
  return new FleetError("BAD_INPUT", `${folder}: ${what}`);
}
