import { createLoss } from "../../../models/engine/losses.ts";
import { createMachine, type Machine } from "../../../models/engine/machine.ts";
import { planOf } from "../../../models/engine/plan.ts";
import { createRandom } from "../../../models/engine/random.ts";
import { parseTopology } from "../../../models/engine/topology.ts";

export type LayerJson = { class_name: string; config: Record<string, unknown> };

/** Sequential LayersModel JSON; inputShape is without the batch axis. */
export function sequential(inputShape: readonly number[], ...layers: LayerJson[]) {
  const [first, ...rest] = layers.map((layer, i) => ({
    class_name: layer.class_name,
    config: { name: `${layer.class_name.toLowerCase()}_${i}`, ...layer.config },
  }));
  const input = { ...first!, config: { ...first!.config, batch_input_shape: [null, ...inputShape] } };
  return { class_name: "Sequential", config: { name: "test", layers: [input, ...rest] } };
}

/** Where an option is left out, tfjs and Keras differ on the gates' activation: it is always written. */
export const layer = (class_name: string, config: Record<string, unknown> = {}): LayerJson => ({
  class_name,
  config: /GRU|LSTM/.test(class_name) ? { recurrent_activation: "sigmoid", ...config } : config,
});

export function randomFloats(length: number, seed: number, scale = 1): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length }, () => scale * (2 * random.uniform() - 1));
}

/** The engine's inside, to look at gradients. */
export async function machineFor(topology: unknown, maxBatch = 32): Promise<Machine> {
  return createMachine(await planOf(parseTopology(topology)), { maxBatch });
}

/** Output, loss and the gradient of the mean squared error for one batch. */
export function backpropagate(machine: Machine, batch: number, x: Float32Array, y: Float32Array) {
  machine.inputs[0]!.at(batch).set(x);
  machine.outputs[0]!.targetsAt(batch).set(y);
  machine.seed(1);
  machine.forward(batch, true);
  const { sum, present } = createLoss(machine, [{ name: "mse" }])(batch, { gradient: true, weighted: false });
  const output = machine.outputs[0]!.at(batch).slice();
  machine.backward(batch);
  return { output, loss: sum / present, gradients: machine.gradients.slice(0, machine.plan.trained) };
}

/** The largest difference, relative to the largest expected magnitude (or to `floor`, where that is larger). */
export function relativeError(got: ArrayLike<number>, expected: ArrayLike<number>, floor = 1e-6): number {
  if (got.length !== expected.length) return Number.POSITIVE_INFINITY;
  let difference = 0;
  let size = floor;
  for (let i = 0; i < expected.length; i++) {
    const d = Math.abs(got[i]! - expected[i]!);
    difference = Math.max(difference, Number.isNaN(d) ? Number.POSITIVE_INFINITY : d);
    size = Math.max(size, Math.abs(expected[i]!));
  }
  return difference / size;
}
