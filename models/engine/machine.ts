import { FleetError } from "../../protocol/errors.ts";
import { type Address, instantiate, type Kernels, reach, type WasmModule } from "../kernels/load.ts";
import type { BoundLayer, Tensor } from "./layers/layer.ts";
import { isTrained, type Plan, type Step } from "./plan.ts";
import { createRandom } from "./random.ts";
import { sizeOf } from "./shape.ts";

/**
 * A plan laid out in one static arena inside the kernels' memory: every buffer has its address before the first batch,
 * and none moves or is added afterwards.
 */
export type Machine = Awaited<ReturnType<typeof createMachine>>;

const ALIGN_BYTES = 64; // a cache line
const INFINITY_BITS = 0x7f800000;
const RANDOM_WORDS = 4;
/** Streams of the seed that each thread has for its layers. */
const THREAD_STREAMS = 2 ** 14;

/** Kernels of its own, and word of every buffer in their memory: for a test that watches what they touch. */
export interface Watch {
  readonly kernels: Kernels;
  /** Left unused behind each buffer, at least. */
  readonly gapBytes: number;
  taken(address: Address, bytes: number): void;
}

export async function createMachine(
  plan: Plan,
  options: { maxBatch: number; module?: WasmModule; watch?: Watch },
) {
  const { maxBatch, watch } = options;
  const kernels = watch?.kernels ?? (await instantiate(0, options.module));
  const base = align(kernels.heapBase());
  let end = base;
  const allocate = (floats: number): Address => {
    const address = end;
    end = align(end + floats * 4 + (watch?.gapBytes ?? 0));
    watch?.taken(address, floats * 4);
    return address;
  };

  const P = plan.parameters;
  const parameters = {
    weights: allocate(P),
    gradients: allocate(P),
    /** The optimizer's own: momentum or first moment, second moment, and what a third one needs. What is never touched costs no memory. */
    first: allocate(P),
    second: allocate(P),
    third: allocate(P),
    /** The weights at the start of `fit`. */
    anchor: allocate(P),
    /** Added to every gradient: SCAFFOLD's c - c_i. */
    correction: allocate(P),
    /** Sum of gradients that were clipped one by one. */
    clipped: allocate(P),
  };
  const outputShapes = plan.outputs.map((tensor) => plan.tensors[tensor]!.shape);
  // (batch, ...outputShape) each; where a target is the number of a class, only the front of it is used.
  const targets = outputShapes.map((shape) => allocate(maxBatch * sizeOf(shape)));
  const rowWeights = outputShapes.map((shape) => allocate(maxBatch * sizeOf(shape.slice(0, -1))));
  const classWeights = outputShapes.map((shape) => allocate(Math.max(2, shape.at(-1)!)));
  const sampleWeights = allocate(maxBatch); // (batch)
  const result = allocate(4); // two f64: weighted sum of the loss, number of targets present
  const stateFloats = plan.steps.reduce((sum, { layer }) => sum + (layer.stateFloats ?? 0), 0);
  const states = allocate(stateFloats);
  const random = allocate(RANDOM_WORDS * plan.steps.length);

  const { tensors, rows, edges, merges } = layOut(plan, { maxBatch, allocate });
  const weightsOf = new Map<string, { offset: number; name: string }[]>();
  for (const { layer, name, offset } of plan.weights)
    weightsOf.set(layer, [...(weightsOf.get(layer) ?? []), { name, offset: offset * 4 }]);

  let stateOffset = 0;
  const layers = plan.steps.map((step, i): BoundLayer => {
    const { layer } = step;
    const placed = weightsOf.get(layer.name) ?? [];
    // The layout has a layer's moving averages far from its trained weights: by name, then.
    const offsets = layer.weights.map(({ name }) => placed.find((weight) => weight.name === name)!.offset);
    const bound = layer.bind({
      kernels,
      maxBatch,
      allocate,
      inputs: step.inputs.map((tensor, k) => ({ ...tensors[tensor]!, gradient: edges[i]![k]! })),
      output: tensors[step.output]!,
      weights: offsets.map((offset) => parameters.weights + offset),
      weightGradients: offsets.map((offset) => parameters.gradients + offset),
      random: random + i * RANDOM_WORDS * 4,
      state: states + stateOffset * 4,
      rows: { inputs: step.inputs.map((tensor) => rows[tensor]!), output: rows[step.output]! },
    });
    stateOffset += layer.stateFloats ?? 0;
    return bound;
  });
  reach(kernels.memory, end + ALIGN_BYTES); // whole vectors may be read at the end of the last buffer

  // From here on the memory never grows, so views stay alive.
  const buffer = kernels.memory.buffer;
  const floats = (address: Address, count: number) => new Float32Array(buffer, address, count);
  const perBatch = (address: Address, size: number) => {
    const views: Float32Array[] = [];
    return (batch: number) => {
      views[batch] ??= floats(address, batch * size);
      return views[batch];
    };
  };
  const inputs = plan.inputs.map(({ name, shape, tokens }, i) => {
    const size = sizeOf(shape);
    return { name, shape, size, tokens, value: tensors[i]!.value, at: perBatch(tensors[i]!.value, size) };
  });
  const outputs = plan.outputs.map((tensor, i) => {
    const { shape, value, mask } = tensors[tensor]!;
    const size = sizeOf(shape);
    const gradient = edges.outputs[i]!;
    return {
      shape,
      size,
      value,
      gradient,
      mask,
      targets: targets[i]!,
      /** Weights of the rows along the last axis, and of the classes. */
      rowWeights: rowWeights[i]!,
      classWeights: classWeights[i]!,
      at: perBatch(value, size),
      targetsAt: perBatch(targets[i]!, size),
      /** As targetsAt, with the number of a class in the place of a row. */
      classesAt: perBatch(targets[i]!, size / shape.at(-1)!),
    };
  });
  const rowOf = (tensor: number) => floats(rows[tensor]!, plan.tensors[tensor]!.shape.at(-1)!);
  const forwards = layers
    .map((layer, i) => ({ layer, plan: plan.steps[i]!.layer, still: false }))
    .filter((step) => step.plan.alias !== true);
  // Backward only where a weight stands at or before the step; what was handed to several consumers is summed first.
  const backwards = layers
    .map((layer, i) => ({ layer, step: plan.steps[i]! }))
    .filter(({ step }) => tensors[step.output]!.gradient !== 0)
    .map(({ layer, step }) => ({
      layer: step.layer.alias === true ? undefined : layer,
      merge: merges.get(step.output) ?? [],
    }))
    .reverse();

  return {
    plan,
    kernels,
    maxBatch,
    addresses: { ...parameters, sampleWeights, result },
    arenaBytes: end - base,
    weights: floats(parameters.weights, P),
    gradients: floats(parameters.gradients, P),
    first: floats(parameters.first, P),
    second: floats(parameters.second, P),
    third: floats(parameters.third, P),
    anchor: floats(parameters.anchor, P),
    correction: floats(parameters.correction, P),
    clipped: floats(parameters.clipped, P),
    /** Whose state the optimizer's buffers hold, and after how many steps. */
    optimizer: { name: null, steps: 0 } as { name: string | null; steps: number },
    states: floats(states, stateFloats),
    sampleWeights: floats(sampleWeights, maxBatch),
    inputs,
    outputs,
    inputRow: rowOf(0),
    outputRow: rowOf(plan.outputs[0]!),
    /** After a loss: its weighted sum, and how many targets were not missing. */
    result: new Float64Array(buffer, result, 2),

    /** Throws NOT_FINITE when the first `batch` inputs hold NaN or Inf, BAD_INPUT when they hold tokens that are none. */
    checkInput(batch: number): void {
      for (const { name, value, size, tokens } of inputs) {
        if (kernels.maxAbsBits(value, batch * size) >= INFINITY_BITS) throw badInput();
        if (tokens !== null && !kernels.tokensWithin(value, batch * size, tokens))
          throw badToken(name, tokens);
      }
    },
    /** Throws NOT_FINITE when a target is Inf; NaN is a missing one. BAD_INPUT when one is no class. */
    checkTargets(batch: number, targets: readonly TargetCheck[]): void {
      for (let i = 0; i < outputs.length; i++) {
        const { size, classes } = targets[i]!;
        const address = outputs[i]!.targets;
        if (kernels.hasInfinity(address, batch * size))
          throw new FleetError("NOT_FINITE", "targets hold Inf; clean the data (NaN marks a missing target)");
        if (classes !== null && kernels.hasStrayClass(address, batch * size, classes))
          throw new FleetError(
            "BAD_INPUT",
            `targets must be whole numbers from 0 to ${classes - 1}, as the output has ${classes} classes`,
          );
      }
    },
    /** Fixes what dropout and noise will draw, in each thread that shares a batch something else. */
    seed(seed: number, thread = 0): void {
      const words = new Uint32Array(buffer, random, RANDOM_WORDS * plan.steps.length);
      for (let i = 0; i < plan.steps.length; i++) {
        const source = createRandom(seed, thread * THREAD_STREAMS + i + 1);
        for (let k = 0; k < RANDOM_WORDS; k++) words[i * RANDOM_WORDS + k] = source.bits();
        words[i * RANDOM_WORDS + RANDOM_WORDS - 1]! |= 1; // never all zero
      }
    },
    /** Which layers are not trained from here on: one that keeps averages of its inputs then uses them and leaves them alone, as in Keras. */
    freeze(names: readonly string[]): void {
      for (const step of forwards)
        step.still = names.includes(step.plan.name) && !step.plan.weights.every(isTrained);
    },
    /** `kept`: nobody wrote the weights since the last call, and no `backward` came between. */
    forward(batch: number, training: boolean, kept = false): void {
      for (let i = 0; i < forwards.length; i++) {
        const { layer, still } = forwards[i]!;
        layer.forward(batch, training && !still, kept);
      }
    },
    /** Sets the weights' gradients from the outputs'. */
    backward(batch: number): void {
      this.gradients.fill(0);
      for (let i = 0; i < backwards.length; i++) {
        const { layer, merge } = backwards[i]!;
        for (let k = 0; k < merge.length; k++) mergeGradient(kernels, merge[k]!, batch);
        layer?.backward(batch);
      }
    },
    /** One row from `inputRow` through all layers to `outputRow`, moving `states` on. Throws NOT_FINITE. */
    step(): void {
      if (kernels.maxAbsBits(rows[0]!, this.inputRow.length) >= INFINITY_BITS) throw badInput();
      for (let i = 0; i < layers.length; i++) layers[i]!.step!();
    },
  };
}

interface TargetCheck {
  /** Floats of one sample. */
  readonly size: number;
  /** How many, where a target is the number of a class. */
  readonly classes: number | null;
}

/** Gradients that several consumers of a tensor left are summed in the first one's buffer. */
interface Merge {
  readonly to: Address;
  readonly from: Address;
  /** Of one sample. */
  readonly size: number;
}

function mergeGradient(kernels: Kernels, { to, from, size }: Merge, batch: number): void {
  kernels.addTo(to, from, batch * size);
}

/**
 * Buffers of all tensors, and for each place where a tensor is used (an edge: step and input, or model output) the buffer into which its
 * gradient goes. The first use writes into the tensor's own; each further one has its own, and a merge adds it.
 */
function layOut(plan: Plan, arena: { maxBatch: number; allocate(floats: number): Address }) {
  const { maxBatch, allocate } = arena;
  const values: Address[] = [];
  const gradients: Address[] = [];
  const merges = new Map<number, Merge[]>();
  const producer = new Map<number, Step>(plan.steps.map((step) => [step.output, step]));

  // A gradient is asked for only where a trained weight stands before it.
  const wanted = plan.tensors.map(() => false);
  for (const { layer, inputs, output } of plan.steps)
    wanted[output] = layer.weights.some(isTrained) || inputs.some((tensor) => wanted[tensor]);

  // All uses of a tensor are known before its buffers are laid out, as an alias has those of the use it is.
  const used = plan.tensors.map(() => 0);
  const use = (tensor: number): Address => {
    if (!wanted[tensor]) return 0;
    used[tensor]! += 1;
    if (used[tensor] === 1) return gradients[tensor]!;
    const size = sizeOf(plan.tensors[tensor]!.shape);
    const from = allocate(maxBatch * size);
    merges.set(tensor, [...(merges.get(tensor) ?? []), { to: gradients[tensor]!, from, size }]);
    return from;
  };
  const edgesOfSteps = new Map<Step, Address[]>();
  plan.tensors.forEach(({ shape }, tensor) => {
    const step = producer.get(tensor);
    const floats = maxBatch * sizeOf(shape);
    if (step?.layer.alias) {
      const edges = step.inputs.map(use);
      edgesOfSteps.set(step, edges);
      values.push(values[step.inputs[0]!]!);
      gradients.push(edges[0]!);
    } else {
      values.push(allocate(floats));
      gradients.push(wanted[tensor] ? allocate(floats) : 0);
    }
  });
  const edges = plan.steps.map((step) => edgesOfSteps.get(step) ?? step.inputs.map(use));
  const outputs = plan.outputs.map(use);
  const masks = plan.tensors.map(({ mask, shape }, tensor) =>
    mask === tensor ? allocate(maxBatch * shape[0]!) : 0,
  );
  const tensors = plan.tensors.map(
    ({ shape, mask }, tensor): Tensor => ({
      shape,
      value: values[tensor]!,
      gradient: gradients[tensor]!,
      mask: mask === null ? 0 : masks[mask]!,
    }),
  );
  // Stateful stepping: one row of each tensor.
  const rows = plan.tensors.map(({ shape }) => allocate(shape.at(-1)!));
  return { tensors, rows, edges: Object.assign(edges, { outputs }), merges };
}

function badInput(): FleetError {
  return new FleetError(
    "NOT_FINITE",
    "inputs hold NaN or Inf; fill or drop those rows before the model sees them",
  );
}

function badToken(input: string, tokens: number): FleetError {
  return new FleetError(
    "BAD_INPUT",
    `input "${input}" holds a value that is no whole number from 0 to ${tokens - 1}; raise input_dim of its Embedding or map what it does not know to one token`,
  );
}

function align(address: Address): Address {
  return Math.ceil(address / ALIGN_BYTES) * ALIGN_BYTES;
}
