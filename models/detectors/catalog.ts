import { FleetError } from "../../protocol/errors.ts";
import { type DetectorSpec, detectorNames, type Pretext } from "../../protocol/task.ts";
import type { DetectorKind } from "./kind.ts";

export type DetectorName = (typeof detectorNames)[number];

/** Loaded when it is asked for: an agent runs one kind. */
const kinds: Record<DetectorName, () => Promise<DetectorKind>> = {
  attention: async () => (await import("./attention.ts")).attention,
  "cnn-autoencoder": async () => (await import("./cnn-autoencoder.ts")).cnnAutoencoder,
  "cnn-classifier": async () => (await import("./cnn-classifier.ts")).cnnClassifier,
  "cnn-forecaster": async () => (await import("./cnn-forecaster.ts")).cnnForecaster,
  "cnn2d-autoencoder": async () => (await import("./cnn2d-autoencoder.ts")).cnn2dAutoencoder,
  "cnn2d-classifier": async () => (await import("./cnn2d-classifier.ts")).cnn2dClassifier,
  "cnn2d-rotation": async () => (await import("./cnn2d-rotation.ts")).cnn2dRotation,
  "ewma-z": async () => (await import("./ewma-z.ts")).ewmaZ,
  "gru-forecaster": async () => (await import("./recurrent-forecasters.ts")).gruForecaster,
  "layers-model": async () => (await import("./layers-model.ts")).layersModel,
  "lstm-autoencoder": async () => (await import("./lstm-autoencoder.ts")).lstmAutoencoder,
  "lstm-forecaster": async () => (await import("./recurrent-forecasters.ts")).lstmForecaster,
  mahalanobis: async () => (await import("./mahalanobis.ts")).mahalanobis,
  "mlp-autoencoder": async () => (await import("./mlp-autoencoder.ts")).mlpAutoencoder,
  "multimodal-autoencoder": async () => (await import("./multimodal-autoencoder.ts")).multimodalAutoencoder,
  pca: async () => (await import("./pca.ts")).pca,
  "rnn-forecaster": async () => (await import("./recurrent-forecasters.ts")).rnnForecaster,
  "t-test": async () => (await import("./t-test.ts")).tTest,
  "tcn-forecaster": async () => (await import("./tcn-forecaster.ts")).tcnForecaster,
  var: async () => (await import("./var.ts")).vectorAutoregression,
  "z-test": async () => (await import("./z-test.ts")).zTest,
};

export { detectorNames };

export function kindOf(name: DetectorName): Promise<DetectorKind> {
  return kinds[name]();
}

/** The hyperparameters of a spec, defaults filled in. Throws BAD_INPUT for one that the kind does not have, or beyond its limits. */
export function tunedOptions(kind: DetectorKind, spec: DetectorSpec): Record<string, number> {
  const known = kind.hyperparameters;
  const tuned = Object.fromEntries(Object.entries(known).map(([key, { default: value }]) => [key, value]));
  for (const [key, value] of Object.entries(spec.options)) {
    const limits = Object.hasOwn(known, key) ? known[key] : undefined;
    if (!limits) {
      const names = Object.keys(known).join(", ") || "none";
      throw new FleetError("BAD_INPUT", `${spec.name} has no hyperparameter "${key}"; it has ${names}`);
    }
    const { least, most, real } = limits;
    if (!(value >= least && value <= most) || !(real || Number.isInteger(value))) {
      const what = real ? "a number" : "a whole number";
      throw new FleetError(
        "BAD_INPUT",
        `${key} of ${spec.name} is ${value}; give ${what} from ${least} to ${most}`,
      );
    }
    tuned[key] = value;
  }
  return tuned;
}

/** Hyperparameters that must be set and are not. */
export function unsetOptions({ mustSet }: DetectorKind, { options }: DetectorSpec): string[] {
  return Object.keys(mustSet?.options ?? {}).filter((key) => !options[key]);
}

/** The kind of a spec. Throws BAD_INPUT for hyperparameters or a topology that the kind can't have, and for ones that it must have. */
export async function checkSpec(spec: DetectorSpec): Promise<DetectorKind> {
  const kind = await kindOf(spec.name);
  const isOwn = spec.name === "layers-model";
  if (spec.topology !== undefined && !isOwn)
    throw new FleetError(
      "BAD_INPUT",
      `${spec.name} makes its own network; a topology goes with the detector layers-model`,
    );
  if (spec.topology === undefined && isOwn)
    throw new FleetError(
      "BAD_INPUT",
      "layers-model needs a network: give the task a topology, the LayersModel JSON of a network",
    );
  tunedOptions(kind, spec);
  const unset = unsetOptions(kind, spec);
  if (unset.length > 0)
    throw new FleetError(
      "BAD_INPUT",
      `${spec.name} can't guess its options ${unset.join(" and ")}: set them, as its hyperparameters say`,
    );
  return kind;
}

/** As `checkSpec`, for a fleet, whose devices have rows and no labels. */
export async function checkFleetSpec(spec: DetectorSpec): Promise<void> {
  const { supervised } = await checkSpec(spec);
  if (supervised)
    throw new FleetError(
      "BAD_INPUT",
      `${spec.name} learns from labels, which the rows of a fleet's devices do not have; take a detector without`,
    );
}

/** What the first version of a task carries beside the weights; `pretext`: what the task pretrains by. */
export async function blueprintFor(
  spec: DetectorSpec,
  channels: number,
  pretext?: Pretext,
): Promise<unknown> {
  const kind = await checkSpec(spec);
  return kind.blueprint({ spec, channels, tuned: tunedOptions(kind, spec), pretext });
}
