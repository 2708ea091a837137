import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { asFleetError, FleetError } from "../../protocol/errors.ts";
import { tooLarge } from "./bytes.ts";
import { decodeCsv } from "./csv.ts";
import type { Dataset, DatasetFile } from "./datasets.ts";
import { littleEndian, writeNpy } from "./npy.ts";
import { readLabels, readSeries, SERIES_ENDINGS } from "./read.ts";

export interface InstallOptions {
  /** Only these; without it, all. */
  readonly devices?: readonly string[];
  readonly onProgress?: (progress: InstallProgress) => void;
  readonly signal?: AbortSignal;
}

export interface InstallProgress {
  /** "machine-1-6_train" */
  readonly file: string;
  /** Of the file on its way. */
  readonly bytes: number;
  readonly filesDone: number;
  readonly files: number;
}

/**
 * Takes a data set from a local copy: our NAME_train/test/label files, or a checkout of the authors' repository folder.
 * Devices that are not in the copy are left out. Returns the installed devices.
 * Throws BAD_INPUT when there is none or a device lacks a file, BAD_HASH for other values than the catalog's.
 */
export async function installFromFolder(
  set: Dataset,
  from: string,
  to: string,
  options: InstallOptions = {},
): Promise<string[]> {
  const wanted = wantedFiles(set, options);
  const present = wanted.filter((file) => findLocal(from, file) !== undefined);
  const devices = [...new Set(present.map((file) => file.device))];
  if (devices.length === 0) {
    const [first] = wanted;
    throw new FleetError(
      "BAD_INPUT",
      `${from}: holds no file of ${set.id}, such as ${nameOf(first!)}.npy.gz; check --from`,
    );
  }
  const files = wanted.filter((file) => devices.includes(file.device));
  await installAll(files, to, options, async (file) => {
    const path = findLocal(from, file);
    if (!path)
      throw new FleetError(
        "BAD_INPUT",
        `${from}: has no ${nameOf(file)} beside the others; complete the copy`,
      );
    const read = { signal: options.signal, ...(path.endsWith(".txt") ? { header: false } : {}) };
    return { values: await valuesOf(path, file, read), name: path };
  });
  return devices;
}

export interface DownloadOptions extends InstallOptions {
  readonly fetch: (url: string, init: { signal?: AbortSignal }) => Promise<Response>;
}

/**
 * Downloads a data set from its authors, file by file; what is already installed and right is not fetched again.
 * Returns the installed devices. Throws UNSUPPORTED when it can't be downloaded, NOT_FOUND, TIMEOUT when the other side
 * is away, BAD_HASH for other values than the catalog's, ABORTED on the signal.
 */
export async function installByDownload(
  set: Dataset,
  to: string,
  options: DownloadOptions,
): Promise<string[]> {
  const files = wantedFiles(set, options);
  if (files.some((file) => !file.upstream)) {
    throw new FleetError(
      "UNSUPPORTED",
      `${set.id} can't be downloaded by this command; get it from ${set.source} and give --from`,
    );
  }
  await installAll(files, to, options, async (file, onBytes) => {
    const { url } = file.upstream!;
    const body = fetchBody(url, options, onBytes);
    const { series } = await decodeCsv(body, url, { header: false, delimiter: "," });
    return { values: file.part === "label" ? Uint8Array.from(series.values) : series.values, name: url };
  });
  return [...new Set(files.map((file) => file.device))];
}

/** sha256 of the values, so that one checksum fits the authors' text and our arrays alike. */
export function contentSha256(values: Float32Array | Uint8Array): string {
  return createHash("sha256").update(littleEndian(values)).digest("hex");
}

type Values = Float32Array | Uint8Array;

/** Larger than any file of the catalog by far. */
const MAX_DOWNLOAD_BYTES = 128 * 1024 * 1024;

async function installAll(
  files: readonly DatasetFile[],
  to: string,
  { onProgress, signal }: InstallOptions,
  load: (file: DatasetFile, onBytes: (bytes: number) => void) => Promise<{ values: Values; name: string }>,
): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const [filesDone, file] of files.entries()) {
    if (signal?.aborted)
      throw new FleetError("ABORTED", "the installation was stopped; run it again to go on");
    const report = (bytes: number) =>
      onProgress?.({ file: nameOf(file), bytes, filesDone, files: files.length });
    report(0);
    if (await isInstalled(file, to)) continue;
    const { values, name } = await load(file, report);
    if (contentSha256(values) !== file.sha256) {
      throw new FleetError(
        "BAD_HASH",
        `${name}: is not the ${nameOf(file)} that the catalog knows; fetch it again`,
      );
    }
    // Under another name until it is whole: a folder never holds half a file as data.
    const part = join(to, `.part_${nameOf(file)}.npy.gz`);
    try {
      await writeNpy(
        part,
        values,
        file.part === "label" ? [file.rows] : [file.rows, values.length / file.rows],
      );
      await rename(part, installedPath(file, to));
    } finally {
      await rm(part, { force: true });
    }
  }
  onProgress?.({ file: "", bytes: 0, filesDone: files.length, files: files.length });
}

async function isInstalled(file: DatasetFile, to: string): Promise<boolean> {
  const path = installedPath(file, to);
  if (!existsSync(path)) return false;
  try {
    return contentSha256(await valuesOf(path, file, {})) === file.sha256;
  } catch (error) {
    // A damaged file counts as absent and is written anew.
    if (error instanceof FleetError) return false;
    throw error;
  }
}

function wantedFiles(set: Dataset, { devices }: InstallOptions): DatasetFile[] {
  if (set.files.length === 0) {
    throw new FleetError("UNSUPPORTED", `${set.id} can't be installed by this command; see ${set.source}`);
  }
  const unknown = devices?.find((device) => !set.files.some((file) => file.device === device));
  if (unknown !== undefined)
    throw new FleetError("BAD_INPUT", `${set.id} has no device "${unknown}"; leave it out`);
  return set.files.filter((file) => !devices || devices.includes(file.device));
}

function findLocal(from: string, file: DatasetFile): string | undefined {
  const ours = SERIES_ENDINGS.flatMap((ending) => [
    `${nameOf(file)}${ending}`,
    `${nameOf(file)}${ending}.gz`,
  ]);
  const theirs = file.upstream ? [file.upstream.path] : [];
  return [...ours, ...theirs].map((name) => join(from, name)).find((path) => existsSync(path));
}

async function valuesOf(
  path: string,
  file: DatasetFile,
  options: { header?: boolean; signal?: AbortSignal | undefined },
): Promise<Values> {
  return file.part === "label" ? await readLabels(path, options) : (await readSeries(path, options)).values;
}

async function* fetchBody(
  url: string,
  { fetch, signal }: DownloadOptions,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  try {
    const response = await fetch(url, signal ? { signal } : {});
    if (!response.ok || !response.body) {
      throw new FleetError(
        "NOT_FOUND",
        `${url}: the server answered ${response.status}; see whether the data set has moved`,
      );
    }
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      if (bytes > MAX_DOWNLOAD_BYTES) throw tooLarge(url, MAX_DOWNLOAD_BYTES);
      onBytes(bytes);
      yield chunk;
    }
  } catch (cause) {
    if (cause instanceof FleetError) throw cause;
    if (signal?.aborted)
      throw new FleetError("ABORTED", `${url}: the download was stopped; run it again to go on`, { cause });
    const why = asFleetError(cause, "TIMEOUT").message;
    throw new FleetError("TIMEOUT", `${url}: can't be fetched (${why}); check the network, or give --from`, {
      cause,
    });
  }
}

function nameOf(file: DatasetFile): string {
  return `${file.device}_${file.part}`;
}

function installedPath(file: DatasetFile, to: string): string {
  return join(to, `${nameOf(file)}.npy.gz`);
}
