import { z } from "zod";
import { type Column, table } from "../cli/table.ts";
import { detectorNames, kindOf } from "../models/detectors/catalog.ts";
import { bench } from "./bench.ts";
import { imageData, seriesData, seriesWithPictures } from "./detectors/data.ts";
import { type DetectorRow, measureDetector } from "./detectors/measure.ts";

/** A network of one's own takes what it takes. */
const names = detectorNames.filter((name) => name !== "layers-model");

/** Issue 4: a sample of 38 channels, by each default detector; training the default on a machine of SMD, on one core. */
export const goals = { scoringUs: 50, trainingSeconds: 20, trainedDefault: "cnn-forecaster" } as const;

const efforts = { full: { rows: 10_000 }, quick: { rows: 200, epochs: 1 } } as const;
/** An image takes as long as many samples. */
const imageRows = 1_000;

const Options = z.strictObject({
  quick: z.boolean().default(false),
  detector: z
    .string()
    .transform((text) => text.split(","))
    .refine((list) => list.every((name) => names.some((one) => one === name)), `there is ${names.join(", ")}`)
    .optional(),
});

export const detectorsBench = bench({
  name: "detectors",
  description:
    "Times every detector of the catalog with its default settings: a sample of 38 channels (or an image of 28 x 28, or a sample and a picture of 16 x 16) on the stream, from raw values to the probability; training on one machine of SMD (made data of its size where ../shared is missing) with all epochs of the default task, on one thread.",
  options: Options,
  flags: [
    {
      key: "quick",
      flag: "--quick",
      description: "one epoch and 200 samples: shows that it works, not how fast",
    },
    { key: "detector", flag: "--detector <names>", description: "only these, joined by commas" },
  ],
  examples: [
    { command: "npm run bench -- detectors --json", what: "all" },
    { command: "npm run bench -- detectors --detector var,cnn-forecaster", what: "two" },
  ],
  async run({ quick, detector }, { progress, signal }) {
    const { rows: most, ...effort } = quick ? { ...efforts.quick } : { ...efforts.full, epochs: undefined };
    const series = await seriesData();
    const images = imageData();
    const rows: DetectorRow[] = [];
    for (const name of names.filter((one) => detector?.includes(one) ?? true)) {
      progress(name);
      const { input, mustSet } = await kindOf(name);
      const isImage = input === "images";
      const data = isImage ? images : mustSet ? seriesWithPictures(series, mustSet.channels) : series;
      rows.push(
        await measureDetector({
          name,
          data,
          options: mustSet?.options,
          rows: isImage ? Math.min(most, imageRows) : most,
          ...effort,
          signal,
        }),
      );
    }
    const judged = rows.map((row) => ({ ...row, ...judge(row) }));
    return {
      value: { data: { series: series.from, images: images.from }, goals, rows: judged },
      text: show(judged, series.from),
    };
  },
});

/** null where there is no goal. */
export function judge({ detector, row, medianUs, trainingSeconds }: DetectorRow) {
  return {
    scoringMet: row !== "sample" ? null : medianUs <= goals.scoringUs,
    trainingMet: detector === goals.trainedDefault ? trainingSeconds <= goals.trainingSeconds : null,
  };
}

type Judged = DetectorRow & ReturnType<typeof judge>;

function show(rows: readonly Judged[], from: string): string {
  const met = (value: boolean | null) => (value === null ? null : value ? "yes" : "NO");
  const columns: Column<Judged>[] = [
    { title: "detector", value: ({ detector }) => detector },
    { title: "a row is", value: ({ row }) => row },
    { title: "median, us", value: ({ medianUs }) => medianUs, digits: 1 },
    { title: "p99, us", value: ({ p99Us }) => p99Us, digits: 1 },
    { title: `<= ${goals.scoringUs}`, value: ({ scoringMet }) => met(scoringMet) },
    { title: "training, s", value: ({ trainingSeconds }) => trainingSeconds, digits: 2 },
    { title: `<= ${goals.trainingSeconds}`, value: ({ trainingMet }) => met(trainingMet) },
    { title: "numbers", value: ({ numbers }) => numbers, digits: 0 },
    { title: "bytes", value: ({ bytes }) => bytes, digits: 0 },
  ];
  return `${table(columns, rows)}\n\nTrained on ${from}.`;
}
