import type { Pretext } from "../../protocol/task.ts";
import type { Detector, Recent, TrainOptions, TrainResult } from "./detector.ts";

export interface PretrainOptions {
  /** Of all epochs, the first so many. */
  readonly epochs: number;
  readonly objective: Pretext;
}

/** As `detector.train`, all in one go: the first epochs of `training.epochs` teach the pretext, where there is one. A fleet does it by rounds. */
export async function trainWhole(
  detector: Detector,
  data: Recent | readonly Recent[],
  { pretrain, ...options }: TrainOptions & { readonly pretrain?: PretrainOptions | undefined },
): Promise<TrainResult> {
  const { training, onProgress, overwrite: _, ...rest } = options;
  if (pretrain === undefined) return detector.train(data, options);
  const part = (epochs: number, before: number): TrainOptions => ({
    ...rest,
    training: { ...training, epochs },
    ...(onProgress && {
      onProgress: ({ epoch, loss }) => onProgress({ epoch: before + epoch, epochs: training.epochs, loss }),
    }),
  });
  const { epochs, objective } = pretrain;
  const first = part(epochs, 0);
  await detector.train(data, { ...first, training: { ...first.training, pretext: objective } });
  return detector.train(data, part(training.epochs - epochs, epochs));
}
