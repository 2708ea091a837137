import { z } from "zod";
import { DATASETS, type Dataset, findDataset } from "../../models/data/datasets.ts";
import { type InstallProgress, installByDownload, installFromFolder } from "../../models/data/install.ts";
import { FleetError } from "../../protocol/errors.ts";
import { nearest } from "../../protocol/nearest.ts";
import { command, type Terminal } from "../command.ts";
import { table } from "../table.ts";
import { answer } from "../terminal.ts";
import { json, jsonFlag } from "./common.ts";

const folder = z.string().min(1, "give the path of a folder");

const Options = z.strictObject({
  action: z.enum(["list", "show", "get", "look"]).default("list"),
  set: z.string().optional(),
  to: folder.optional(),
  from: folder.optional(),
  devices: z.array(z.string()).optional(),
  as: z.string().min(1).optional(),
  labelColumn: z.string().min(1).optional(),
  json,
});

export const datasetsCommand = command({
  name: "datasets",
  description:
    "Lists the data sets that Starling knows, with licence and source, and installs them as folders for `starling demo --data`. Every file is checked against the sha256 of its values. A folder of your own needs no entry here: NAME_train, NAME_test and NAME_label files are enough, and `look` says how any folder is read.",
  options: Options,
  operands: [
    { path: "action", name: "ACTION", description: "list (default), show NAME, get NAME or look DIR" },
    { path: "set", name: "NAME", description: "name of a data set; look: a folder" },
  ],
  flags: [
    { path: "to", flag: "--to <dir>", description: "get: folder to install into" },
    { path: "from", flag: "--from <dir>", description: "get: take a local copy, and do not download" },
    { path: "devices", flag: "--devices <names>", description: "get: only these devices, joined by commas" },
    {
      path: "as",
      flag: "--as <set>",
      description: "look: read it as this known set, or as a .yaml file says",
    },
    { path: "labelColumn", flag: "--label-column <name>", description: "look: the column of 0/1 labels" },
    jsonFlag,
  ],
  examples: [
    { command: "starling datasets", what: "what there is" },
    { command: "starling datasets show smd", what: "licence, source, devices and checksums" },
    { command: "starling datasets get smd --to ./smd", what: "download it" },
    {
      command: "starling datasets get smd --to ./smd --from ~/OmniAnomaly/ServerMachineDataset",
      what: "... or take it from a copy",
    },
    { command: "starling datasets look ./skab", what: "how a folder is read: its devices and their parts" },
  ],
  async run({ action, set, to, from, devices, as, labelColumn, json: asJson }, terminal) {
    if (action === "list") {
      answer(terminal, asJson, { value: { datasets: DATASETS.map(overview) }, text: listText });
      return undefined;
    }
    if (action === "look") {
      const { look, lookText } = await import("./datasets-look.ts");
      const value = await look(set, { set: as, labelColumn });
      answer(terminal, asJson, { value, text: () => lookText(value) });
      return undefined;
    }
    const dataset = known(set, action);
    if (action === "show") {
      answer(terminal, asJson, { value: dataset, text: () => showText(dataset) });
      return undefined;
    }
    if (to === undefined)
      throw new FleetError("BAD_INPUT", "--to is missing: give the folder to install into, as --to <dir>");
    if (dataset.files.length === 0)
      throw new FleetError(
        "BAD_INPUT",
        `${dataset.id} can't be installed: ${dataset.note}; see ${dataset.source}`,
      );
    if (from === undefined && dataset.files.some(({ upstream }) => upstream === undefined))
      throw new FleetError(
        "BAD_INPUT",
        `${dataset.id} can't be downloaded by this command: get it from ${dataset.source} and give its folder with --from`,
      );
    const installed = await get(dataset, {
      to,
      terminal,
      ...(from !== undefined && { from }),
      ...(devices !== undefined && { devices }),
    });
    answer(terminal, asJson, {
      value: { dataset: dataset.id, to, devices: installed },
      text: () =>
        `${dataset.id}: ${installed.length} devices are installed in ${to}, every value checked.\nNext: starling demo --data ${to}`,
    });
    return undefined;
  },
});

interface GetOptions {
  readonly to: string;
  readonly from?: string;
  readonly devices?: readonly string[];
  readonly terminal: Terminal;
}

async function get(dataset: Dataset, { to, from, devices, terminal }: GetOptions): Promise<string[]> {
  const aborter = new AbortController();
  const abort = () => aborter.abort();
  process.once("SIGINT", abort);
  const bar = await progressBar(terminal, dataset);
  const options = {
    signal: aborter.signal,
    onProgress: bar.update,
    ...(devices !== undefined && { devices }),
  };
  try {
    return await (from === undefined
      ? installByDownload(dataset, to, { ...options, fetch: (url, init) => fetch(url, init) })
      : installFromFolder(dataset, from, to, options));
  } finally {
    bar.close();
    process.off("SIGINT", abort);
  }
}

async function progressBar(
  { stderr }: Terminal,
  { files }: Dataset,
): Promise<{ update(progress: InstallProgress): void; close(): void }> {
  if (!stderr.isTTY) return { update() {}, close() {} };
  const { Presets, SingleBar } = (await import("cli-progress")).default;
  const bar = new SingleBar(
    {
      stream: stderr,
      format: "{bar} {value}/{total} files  {file}  {size}",
      clearOnComplete: true,
      hideCursor: true,
    },
    Presets.shades_classic,
  );
  bar.start(files.length, 0, { file: "", size: "" });
  return {
    update({ file, bytes, filesDone, files: total }) {
      bar.setTotal(total);
      bar.update(filesDone, { file, size: bytes === 0 ? "" : `${(bytes / 1e6).toFixed(1)} MB` });
    },
    close: () => bar.stop(),
  };
}

function known(name: string | undefined, action: string): Dataset {
  const ids = DATASETS.map(({ id }) => id);
  if (name === undefined)
    throw new FleetError(
      "BAD_INPUT",
      `NAME is missing: \`starling datasets ${action} NAME\`, where NAME is one of ${ids.join(", ")}`,
    );
  const dataset = findDataset(name);
  if (dataset !== undefined) return dataset;
  const near = nearest(name, ids);
  const hint = near === undefined ? `known are ${ids.join(", ")}` : `did you mean "${near}"?`;
  throw new FleetError("BAD_INPUT", `there is no data set "${name}": ${hint}`);
}

function overview({ files, ...rest }: Dataset) {
  return { ...rest, devices: devicesOf({ files }), how: howToGet({ files }) };
}

function devicesOf({ files }: Pick<Dataset, "files">): readonly string[] {
  return [...new Set(files.map(({ device }) => device))];
}

function howToGet({ files }: Pick<Dataset, "files">): "download" | "copy" | "by hand" {
  if (files.length === 0) return "by hand";
  return files.every(({ upstream }) => upstream !== undefined) ? "download" : "copy";
}

function listText(): string {
  const text = table<Dataset>(
    [
      { title: "name", value: ({ id }) => id },
      { title: "licence", value: ({ licence }) => licence },
      { title: "get", value: howToGet },
      { title: "shape", value: ({ shape }) => shape },
      { title: "source", value: ({ source }) => source },
    ],
    DATASETS,
  );
  return `${text}\n\n"download" is fetched from its authors, "copy" needs --from. See one with \`starling datasets show NAME\`.`;
}

function showText(set: Dataset): string {
  const devices = devicesOf(set);
  const facts = [
    ["licence", set.licence],
    ["source", set.source],
    ["shape", set.shape],
    ["a device", set.device],
    ["rate", set.rateHz === undefined ? "not fixed" : `one row in ${Math.round(1 / set.rateHz)} s`],
    ["get", howToGet(set)],
    ["note", set.note],
  ];
  const head = `${set.id}: ${set.title}\n${facts.map(([name, value]) => `  ${name!.padEnd(9)} ${value}`).join("\n")}`;
  if (devices.length === 0) return head;
  const rows = table(
    [
      { title: "file", value: ({ device, part }) => `${device}_${part}` },
      { title: "rows", value: ({ rows }) => rows, digits: 0 },
      { title: "sha256 of its values", value: ({ sha256 }) => sha256 },
    ],
    set.files,
  );
  return `${head}\n\n${rows}`;
}
