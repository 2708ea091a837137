import { type ContentHashes, JUMPSTARTER2_HASHES, SMD_HASHES } from "./dataset-hashes.ts";

/** A data set that `starling datasets` knows. */
export interface Dataset {
  readonly id: string;
  readonly title: string;
  readonly licence: string;
  /** Where its authors keep it. */
  readonly source: string;
  readonly shape: string;
  /** What a device is in it. */
  readonly device: string;
  /** Rows per second, where rows have one rate. */
  readonly rateHz?: number;
  /** What it takes and what to look out for. */
  readonly note: string;
  /** The files that can be installed and verified; empty = not yet, use it by hand. */
  readonly files: readonly DatasetFile[];
}

export interface DatasetFile {
  readonly device: string;
  readonly part: "train" | "test" | "label";
  readonly rows: number;
  /** sha256 of the values and not of a file: float32 (train, test) or uint8 (label), little-endian, row by row. */
  readonly sha256: string;
  /** The authors' own file, relative to a checkout of theirs, and where to download it. */
  readonly upstream?: { readonly path: string; readonly url: string };
}

const SMD_URL = "https://raw.githubusercontent.com/NetManAIOps/OmniAnomaly/master/ServerMachineDataset";

export const DATASETS: readonly Dataset[] = [
  {
    id: "smd",
    title: "Server Machine Dataset",
    licence: "MIT",
    source: "https://github.com/NetManAIOps/OmniAnomaly",
    shape: "about 23.7k train and 23.7k test rows x 38 channels a machine, in [0, 1]",
    device: "a server machine",
    rateHz: 1 / 60,
    note: "8 of the 28 machines: those whose values this project has checked and can verify",
    files: files(SMD_HASHES, (device, part) => {
      const path = `${part === "label" ? "test_label" : part}/${device}.txt`;
      return { path, url: `${SMD_URL}/${path}` };
    }),
  },
  {
    id: "jumpstarter2",
    title: "JumpStarter, online services",
    licence: "MIT",
    source: "https://github.com/NetManAIOps/JumpStarter",
    shape: "5760 train and 7200 test rows x 19 channels a service, raw units",
    device: "an online service",
    note: "20 of the 30 services, from a local copy (--from) only; strong drift between train and test",
    files: files(JUMPSTARTER2_HASHES),
  },
  {
    id: "skab",
    title: "Skoltech Anomaly Benchmark",
    licence: "GPL-3.0",
    source: "https://github.com/waico/SKAB",
    shape: "34 experiments of about 1000 rows x 8 channels",
    device: "an experiment; its group is the valve",
    rateHz: 1,
    note: "not installed by this command yet, but read as it is; other/2.csv is anomalous from row 104 on",
    files: [],
  },
  {
    id: "nab",
    title: "Numenta Anomaly Benchmark",
    licence: "see its LICENSE.txt (MIT-style)",
    source: "https://github.com/numenta/NAB",
    shape: "58 files of 1k to 22k rows x 1 channel",
    device: "a file",
    note: "not installed by this command yet, but read as it is; its labels are windows in combined_windows.json",
    files: [],
  },
  {
    id: "nsl-kdd",
    title: "NSL-KDD network connections",
    licence: "none stated (University of New Brunswick, for research)",
    source: "https://www.unb.ca/cic/datasets/nsl.html",
    shape: "25,192 connections x 41 fields (the 20 % training file)",
    device: "a service",
    note: "not installed by this command yet, but read as it is; rows are connections and no time series",
    files: [],
  },
  {
    id: "fashion-mnist",
    title: "Fashion-MNIST",
    licence: "MIT",
    source: "https://github.com/zalandoresearch/fashion-mnist",
    shape: "60,000 train and 10,000 test images of 28 x 28, 10 classes",
    device: "a tenth of the normal class",
    note: "not installed by this command yet, but read as it is; ten tasks, in each one class is normal",
    files: [],
  },
];

export function findDataset(id: string): Dataset | undefined {
  return DATASETS.find((set) => set.id === id);
}

/** The known data set that all these devices come from, so that a plain copy of it gets its rate and its name. */
export function datasetOfDevices(devices: readonly string[]): Dataset | undefined {
  return DATASETS.find(
    ({ files: known }) =>
      devices.length > 0 && devices.every((device) => known.some((file) => file.device === device)),
  );
}

function files(
  hashes: readonly ContentHashes[],
  upstream?: (device: string, part: DatasetFile["part"]) => { path: string; url: string },
): DatasetFile[] {
  return hashes.flatMap(({ device, rows: [train, test], ...sha256 }) =>
    (["train", "test", "label"] as const).map((part) => ({
      device,
      part,
      rows: part === "train" ? train : test,
      sha256: sha256[part],
      ...(upstream ? { upstream: upstream(device, part) } : {}),
    })),
  );
}
