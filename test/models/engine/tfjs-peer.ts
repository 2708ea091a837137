import * as tf from "@tensorflow/tfjs";
import { expect } from "vitest";
import { sizeOf } from "../../../models/engine/shape.ts";
import { machineFor, randomFloats, relativeError } from "./support.ts";

const BATCH = 7; // no multiple of a register block

/** tfjs reads and writes topologies with the batch axis left open; ours and theirs are given the same text. */
export const topologyOf = (model: tf.LayersModel): unknown => model.toJSON(null, false);

/**
 * That the engine gives the outputs, weights' layout and gradients of a model of tfjs, for the summed mean squared errors of its outputs. `inputs`
 * makes each input's values, where random floats will not do. Layers that behave otherwise while training: both are compared in that mode.
 */
export async function expectSameAsTfjs(
  model: tf.LayersModel,
  options: {
    readonly tolerance?: number;
    readonly inputs?: (size: number, input: number) => Float32Array;
    readonly weights?: (size: number) => Float32Array;
  } = {},
): Promise<void> {
  const { tolerance = 1e-4, inputs = (size, i) => randomFloats(size, i + 1, 2), weights } = options;
  const machine = await machineFor(topologyOf(model));
  const { plan } = machine;
  // Biases too must be other than zero, and the weights large enough to reach the bends of the activations.
  machine.weights.set(weights?.(plan.parameters) ?? randomFloats(plan.parameters, 3, 0.9));
  setFlat(model, machine.weights);
  const theirs = model.weights.map(({ originalName: name, shape }) => ({ name, shape }));
  expect(plan.layout).toEqual(theirs);

  const xs = machine.inputs.map(({ size }, i) => inputs(BATCH * size, i));
  const ys = machine.outputs.map(({ size }, i) => randomFloats(BATCH * size, 10 + i));
  const backward = () => {
    machine.seed(1);
    machine.forward(BATCH, true);
    // The gradient of each output's own mean squared error; not the engine's loss, which leaves masked steps out and tfjs does not.
    machine.outputs.forEach((output, i) => {
      const got = output.at(BATCH);
      const gradient = new Float32Array(machine.kernels.memory.buffer, output.gradient, got.length);
      got.forEach((value, k) => {
        gradient[k] = (2 * (value - ys[i]![k]!)) / got.length;
      });
    });
    machine.backward(BATCH);
  };
  // Once with other values: the buffers then hold what an earlier batch left, and nothing can count on zeros.
  const start = machine.weights.slice();
  machine.inputs.forEach((input, i) => void input.at(BATCH).set(xs[i]!.slice().reverse()));
  backward();
  machine.weights.set(start); // but for moving averages

  machine.inputs.forEach((input, i) => void input.at(BATCH).set(xs[i]!));
  machine.forward(BATCH, false);
  const outputs = machine.outputs.map((output) => output.at(BATCH).slice());
  backward();

  const theirXs = machine.inputs.map(({ shape }, i) => tf.tensor(xs[i]!, [BATCH, ...shape]));
  const theirYs = machine.outputs.map(({ shape }, i) => tf.tensor(ys[i]!, [BATCH, ...shape]));
  const list = <T>(value: T | T[]): T[] => (Array.isArray(value) ? value : [value]);
  const predicted = list(model.predict(theirXs.length === 1 ? theirXs[0]! : theirXs));
  predicted.forEach((tensor, i) => {
    expect(relativeError(outputs[i]!, tensor.dataSync()), `output ${i}`).toBeLessThan(tolerance);
  });
  const { grads } = tf.variableGrads(() => {
    const got = list(
      model.apply(theirXs.length === 1 ? theirXs[0]! : theirXs, { training: true }) as tf.Tensor,
    );
    return tf.addN(
      got.map((tensor, i) => tf.losses.meanSquaredError(theirYs[i]!, tensor) as tf.Scalar),
    ) as tf.Scalar;
  });
  let offset = 0;
  for (const weight of model.trainableWeights) {
    const { val } = weight as unknown as { val: tf.Variable };
    const expected = grads[val.name]!;
    const part = machine.gradients.subarray(offset, offset + expected.size);
    expect(relativeError(part, expected.dataSync()), `gradient of ${weight.originalName}`).toBeLessThan(
      tolerance,
    );
    offset += expected.size;
  }
  expect(offset).toBe(plan.trained);
}

function setFlat(model: tf.LayersModel, flat: Float32Array): void {
  let offset = 0;
  model.setWeights(
    model.getWeights().map((weight) => {
      const size = sizeOf(weight.shape);
      offset += size;
      return tf.tensor(flat.slice(offset - size, offset), weight.shape);
    }),
  );
}
