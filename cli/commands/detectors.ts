import { z } from "zod";
import { blueprintFor, detectorNames, kindOf } from "../../models/detectors/catalog.ts";
import type { Hyperparameter } from "../../models/detectors/kind.ts";
import { openDetector } from "../../models/detectors/open.ts";
import { layoutSize } from "../../protocol/frame.ts";
import { DetectorSpec } from "../../protocol/task.ts";
import { command } from "../command.ts";
import { detectorName } from "../evaluate/detector-specs.ts";
import { table } from "../table.ts";
import { answer } from "../terminal.ts";
import { json, jsonFlag } from "./common.ts";

const Options = z.strictObject({
  name: z.string().optional(),
  channels: z.int().min(1).max(100_000).optional(),
  json,
});

export const detectorsCommand = command({
  name: "detectors",
  description:
    "Lists the detectors that a fleet can train, or explains one: when to take it, where it is from, and what it can be tuned by.",
  options: Options,
  operands: [{ path: "name", name: "NAME", description: "one of them" }],
  flags: [
    {
      path: "channels",
      flag: "--channels <n>",
      description: "channels to count the parameters for (default 38, images 28 x 28)",
    },
    jsonFlag,
  ],
  examples: [
    { command: "starling detectors", what: "what there is" },
    { command: "starling detectors gru-forecaster", what: "one of them, with its hyperparameters" },
    { command: "starling detectors --channels 6", what: "how large they are with six channels" },
  ],
  async run({ name, channels, json: asJson }, terminal) {
    const names = name === undefined ? detectorNames : [detectorName(name)];
    const detectors: DetectorView[] = [];
    for (const one of names) detectors.push(await view(one, channels));
    answer(terminal, asJson, {
      value: name === undefined ? { detectors } : detectors[0],
      text: () => (name === undefined ? listText(detectors) : oneText(detectors[0]!)),
    });
    return undefined;
  },
});

interface DetectorView {
  readonly name: string;
  readonly title: string;
  readonly about: string;
  readonly input: string;
  readonly learns: string;
  readonly supervised: boolean;
  readonly channels: number;
  /** null where it can't be made for so many channels. */
  readonly parameters: number | null;
  /** Of a task's `training.augment`, and of its `pretrain`. */
  readonly augments: readonly string[];
  readonly pretexts: readonly string[];
  readonly hyperparameters: Readonly<Record<string, Hyperparameter>>;
  /** Those without a default, with an example. */
  readonly mustSet?: Readonly<Record<string, number>>;
}

/** The channels of SMD, and the pixels of Fashion-MNIST. */
const CHANNELS = { series: 38, images: 28 * 28 };

async function view(name: (typeof detectorNames)[number], wanted: number | undefined): Promise<DetectorView> {
  const kind = await kindOf(name);
  const usual = kind.input === "images" ? CHANNELS.images : CHANNELS.series;
  const channels = wanted ?? kind.mustSet?.channels ?? usual;
  const { title, about, input, learns, hyperparameters, supervised = false } = kind;
  const { augments = [], pretexts = [] } = kind;
  const parameters = await countParameters(name, channels).catch(() => null);
  const learning = { learns, supervised, augments, pretexts };
  const needed = kind.mustSet && { mustSet: kind.mustSet.options };
  return { name, title, about, input, ...learning, channels, parameters, hyperparameters, ...needed };
}

async function countParameters(name: (typeof detectorNames)[number], channels: number): Promise<number> {
  const { mustSet } = await kindOf(name);
  const spec = DetectorSpec.parse({ name, options: mustSet?.options });
  const topology = JSON.stringify(await blueprintFor(spec, channels));
  const detector = await openDetector({ spec, topology, channels, seed: 1, statistics: null, maxBatch: 1 });
  try {
    return layoutSize(detector.layout);
  } finally {
    detector.dispose();
  }
}

function listText(detectors: readonly DetectorView[]): string {
  const text = table<DetectorView>(
    [
      { title: "detector", value: ({ name }) => name },
      { title: "takes", value: ({ input }) => input },
      { title: "learns", value: ({ learns, supervised }) => `${learns}${supervised ? ", from labels" : ""}` },
      {
        title: "parameters",
        value: ({ parameters, channels }) =>
          parameters === null ? null : `${parameters.toLocaleString("en")} at ${channels}`,
        align: "right",
      },
      { title: "what it does", value: ({ title }) => title },
    ],
    detectors,
  );
  return `${text}\n\nParameters are for so many channels (--channels). One of them: \`starling detectors NAME\`; side by side on your data: \`starling evaluate --data DIR --detector all\`.`;
}

function oneText({ name, title, about, ...rest }: DetectorView): string {
  const { input, learns, supervised, augments, pretexts, parameters, channels, hyperparameters, mustSet } =
    rest;
  const entries = Object.entries(hyperparameters);
  const facts = [
    ["takes", input],
    ["learns", `${learns}${supervised ? ", from labels" : ""}`],
    ...(augments.length > 0 ? [["augment", augments.join(", ")]] : []),
    ...(pretexts.length > 0 ? [["pretrain", pretexts.join(", ")]] : []),
    [
      "size",
      parameters === null ? "-" : `${parameters.toLocaleString("en")} parameters at ${channels} channels`,
    ],
  ];
  const tuned =
    entries.length === 0
      ? "It has no hyperparameters of its own."
      : table<[string, Hyperparameter]>(
          [
            { title: "hyperparameter", value: ([key]) => key },
            { title: "default", value: ([, one]) => one.default, align: "right" },
            { title: "from", value: ([, one]) => one.least, align: "right" },
            { title: "to", value: ([, one]) => one.most, align: "right" },
            { title: "what it is", value: ([, { about }]) => about },
            { title: "why this default", value: ([, { source }]) => source },
          ],
          entries,
        );
  const first = entries.slice(0, 1).map(([key, one]) => [key, one.default] as const);
  const shown = mustSet ? Object.entries(mustSet) : first;
  const setting = shown.map(([key, value]) => `${key}: ${value}`).join(", ");
  const option = shown.map(([key, value]) => `${name}.${key}=${value}`).join(",");
  return [
    `${name}: ${title}`,
    "",
    about,
    "",
    ...facts.map(([what, text]) => `  ${what!.padEnd(8)} ${text}`),
    "",
    tuned,
    "",
    "Judge it on your data:",
    `  starling evaluate --data DIR --detector ${name}${option && ` --options ${option}`}`,
    "Train it in a fleet, in the --config file of `starling coordinator`:",
    `  task: { detector: { name: ${name}${setting && `, options: { ${setting} }`} } }`,
  ].join("\n");
}
