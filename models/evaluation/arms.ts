import { FleetError } from "../../protocol/errors.ts";
import type { PersonalModel } from "../../protocol/messages.ts";
import type { PretrainSpec, RoundTraining, TrainingSpec } from "../../protocol/task.ts";
import type { Detector, Recent } from "../detectors/detector.ts";
import { personalModel, wholeTraining } from "../detectors/personal.ts";
import { type PretrainOptions, trainWhole } from "../detectors/pretraining.ts";
import { openAverage } from "../federation/average.ts";

/**
 * How the devices of a set come by their weights. local: each from its own data alone. central: one model from all data in one place. fedavg: rounds of
 * averaging, as a coordinator makes them. finetune: what the devices of a task with `personal` score with, each with the best on its held-back data of the
 * fleet's model, that model trained on a little more, and its local one.
 */
export const arms = ["local", "central", "fedavg", "finetune"] as const;
export type Arm = (typeof arms)[number];

export interface ArmsOptions {
  /** Opened once: its weights are set and read for each device in turn. */
  readonly detector: Detector;
  readonly training: TrainingSpec;
  /** In all, those of pretraining among them. */
  readonly rounds: number;
  /** The first rounds of `fedavg`; local and central begin with as many epochs of it. */
  readonly pretrain?: PretrainSpec | undefined;
  readonly seed: number;
  readonly devices: readonly Recent[];
  readonly arms: readonly Arm[];
  readonly signal?: AbortSignal;
  /** After each device's part of a round. */
  readonly onProgress?: (done: { readonly arm: Arm; readonly trained: number; readonly of: number }) => void;
}

export interface ArmResult {
  readonly arm: Arm;
  /** One for each device; the same array for all where they share a model; null where a device has too little data for a model of its own. */
  readonly weights: readonly (Float32Array | null)[];
  /** Of `finetune`: what each device scores with. */
  readonly models?: readonly PersonalModel[];
}

/**
 * Trains every arm from the same first weights, with as many epochs in all. The same options give the same bits. Kinds that learn by sums need one pass:
 * `rounds: 1` says so.
 */
export async function trainArms(options: ArmsOptions): Promise<ArmResult[]> {
  const { detector, training, rounds, pretrain, devices, seed, onProgress } = options;
  const first = detector.weights();
  const wanted = (arm: Arm) => options.arms.includes(arm);
  const trainOne = async (
    arm: Arm,
    from: Float32Array,
    data: Recent | readonly Recent[],
    { pretrain, ...change }: Partial<RoundTraining> & { readonly pretrain?: PretrainOptions },
    seed: number,
  ) => {
    detector.setWeights(from);
    trained++;
    try {
      const { samples } = await trainWhole(detector, data, {
        pretrain,
        training: { ...training, ...change },
        seed,
        ...(options.signal && { signal: options.signal }),
      });
      return { weights: detector.weights(), samples };
    } catch (error) {
      // A round goes on without a device that has too little data, here as in a fleet.
      if (error instanceof FleetError && error.code === "UNAVAILABLE") return null;
      throw error;
    } finally {
      onProgress?.({ arm, trained, of });
    }
  };
  /** Each device and round draws its own order. */
  const seedOf = (round: number, device: number) => (seed * 1_000_003 + round * 1009 + device) >>> 0;
  const task = { training, rounds, ...(pretrain && { pretrain }) };
  const taught = pretrain?.rounds ?? 0;
  const pretext = pretrain && { pretext: pretrain.objective };
  const inAll = wholeTraining(task);
  const whole = { ...inAll.training, ...(inAll.pretrain && { pretrain: inAll.pretrain }) };
  let trained = 0;
  const passes = {
    local: devices.length,
    central: 1,
    fedavg: rounds * devices.length,
    finetune: devices.length,
  };
  const needed = new Set<Arm>(options.arms);
  if (wanted("finetune")) needed.add("local").add("fedavg");
  const of = [...needed].reduce((sum, arm) => sum + passes[arm], 0);

  const local: (Float32Array | null)[] = [];
  if (needed.has("local")) {
    for (const [d, data] of devices.entries()) {
      const own = await trainOne("local", first, data, whole, seedOf(0, d));
      local.push(own?.weights ?? null);
    }
  }
  const results: ArmResult[] = [];
  if (wanted("local")) results.push({ arm: "local", weights: local });
  if (wanted("central")) {
    const one = await trainOne("central", first, devices, whole, seedOf(0, 0));
    results.push({ arm: "central", weights: devices.map(() => one?.weights ?? null) });
  }
  let fleet = first;
  if (needed.has("fedavg")) {
    for (let round = 0; round < rounds; round++) {
      const average = await openAverage(first.length);
      for (const [d, data] of devices.entries()) {
        const update = await trainOne(
          "fedavg",
          fleet,
          data,
          (round < taught && pretext) || {},
          seedOf(round, d),
        );
        if (update === null) continue;
        const delta = update.weights.map((w, i) => w - fleet[i]!);
        average.add(delta, update.samples);
      }
      if (average.updates > 0) fleet = average.apply(fleet);
    }
  }
  if (wanted("fedavg")) results.push({ arm: "fedavg", weights: devices.map(() => fleet) });
  if (wanted("finetune")) {
    const weights: Float32Array[] = [];
    const models: PersonalModel[] = [];
    for (const [d, data] of devices.entries()) {
      const personal = await personalModel({
        ...{ detector, fleet, first, data, task },
        own: local[d] ?? null,
        seed: seedOf(rounds, d),
        ...(options.signal && { signal: options.signal }),
      });
      weights.push(personal.weights);
      models.push(personal.model);
      trained++;
      onProgress?.({ arm: "finetune", trained, of });
    }
    results.push({ arm: "finetune", weights, models });
  }
  return results;
}
