import { z } from "zod";
import { type Column, table } from "../cli/table.ts";
import { detectorNames, kindOf } from "../models/detectors/catalog.ts";
import { bench } from "./bench.ts";
import { imageData, seriesData } from "./detectors/data.ts";
import { type DetectorRow, measureDetector } from "./detectors/measure.ts";

/** What needs to be told a network, or which channels are a picture, has no figure. */
const untold: readonly string[] = ["layers-model", "multimodal-autoencoder"];
const names = detectorNames.filter((name) => !untold.includes(name));

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
    "Times every detector of the catalog with its default settings: a sample of 38 channels (or an image of 28 x 28) on the stream, from raw values to the probability; training on one machine of SMD (made data of its size where ../shared is missing) with all epochs of the default task, on one thread.",
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
      const isImage = (await kindOf(name)).input === "images";
      const data = isImage ? images : series;
      rows.push(
        await measureDetector({
          name,
          data,
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
export function judge({ detector, input, medianUs, trainingSeconds }: DetectorRow) {
  return {
    scoringMet: input === "images" ? null : medianUs <= goals.scoringUs,
    trainingMet: detector === goals.trainedDefault ? trainingSeconds <= goals.trainingSeconds : null,
  };
}

type Judged = DetectorRow & ReturnType<typeof judge>;

function show(rows: readonly Judged[], from: string): string {
  const met = (value: boolean | null) => (value === null ? null : value ? "yes" : "NO");
  const columns: Column<Judged>[] = [
    { title: "detector", value: ({ detector }) => detector },
    { title: "a row is", value: ({ input }) => (input === "images" ? "image" : "sample") },
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
