import fc from "fast-check";
import { layerNames, loadLayerKinds } from "../../../models/engine/layers/registry.ts";
import { type Shape, sizeOf } from "../../../models/engine/shape.ts";

// Random topologies for property tests. What fast-check draws and shrinks is a recipe of plain numbers; `build` reads it from left to right,
// and every recipe is a topology that is valid. Smaller numbers are simpler choices: earlier lines of the tables, the first option of a `pick`,
// a chain instead of a graph.

const layerKinds = await loadLayerKinds(layerNames);

type Config = Record<string, unknown>;
/** One of the options, the simplest first. */
type Pick = <T>(...options: readonly T[]) => T;

/** A config for an input of this shape; null where the layer does not take it. */
type Line = (shape: Shape, pick: Pick) => Config | null;
/** The same for layers of several inputs: which other tensors fit to the first. */
interface Join {
  fits(shape: Shape, other: Shape): boolean;
  config(pick: Pick, shapes: readonly Shape[]): Config;
  readonly most: number;
}

const ACTIVATIONS = [
  "linear",
  "relu",
  "tanh",
  "sigmoid",
  "hard_sigmoid",
  "elu",
  "selu",
  "softplus",
  "softsign",
  "relu6",
  "swish",
  "softmax",
] as const;
const activation = (pick: Pick) => ({ activation: pick(...ACTIVATIONS) });
const useBias = (pick: Pick) => ({ use_bias: pick(true, true, false) });
const units = (pick: Pick) => pick(2, 1, 3, 4, 5, 7, 8);
const padding = (pick: Pick) => ({ padding: pick("valid", "same") });

const row = (shape: Shape) => shape.length === 1;
const series = (shape: Shape) => shape.length === 2;
const image = (shape: Shape) => shape.length === 3;
/** The line for shapes of one rank alone. */
const on =
  (rank: (shape: Shape) => boolean, line: (pick: Pick, shape: Shape) => Config): Line =>
  (shape, pick) =>
    rank(shape) ? line(pick, shape) : null;
/** 1 to `most`, and no more than there is. */
const upTo = (pick: Pick, most: number, size: number) =>
  pick(...[2, 1, 3, 4].filter((option) => option <= Math.min(most, size)), 1);
const window1 = (pick: Pick, [time]: Shape, most = 3) => upTo(pick, most, time!);
const window2 = (pick: Pick, [height, width]: Shape, most = 3) => [
  upTo(pick, most, height!),
  upTo(pick, most, width!),
];
const strides1 = (pick: Pick) => ({ strides: pick(1, 2, 3) });
/** tfjs takes the same for both axes only, in some of its layers. */
const strides2 = (pick: Pick) => ({ strides: pick([1, 1], [2, 2], [1, 2], [3, 1]) });

/** tfjs stumbles over a sequence of one step. */
const many = (shape: Shape) => series(shape) && shape[0]! > 1;

const recurrent = (pick: Pick) => ({
  units: units(pick),
  activation: pick("tanh", "relu", "sigmoid"),
  return_sequences: pick(false, true),
  go_backwards: pick(false, false, true),
  ...useBias(pick),
});
const gated = (pick: Pick) => ({
  ...recurrent(pick),
  recurrent_activation: pick("sigmoid", "hard_sigmoid"),
  recurrent_initializer: initializer,
});
/** The orthogonal one is slow in tfjs, and the test sets all weights itself. */
const initializer = { class_name: "GlorotUniform", config: { seed: 1 } };
const gru = (pick: Pick) => ({ ...gated(pick), reset_after: false });
const lstm = (pick: Pick) => ({ ...gated(pick), unit_forget_bias: pick(true, false) });
const nested = (class_name: string, config: Config) => ({
  class_name,
  config: { name: `inner_${class_name.toLowerCase()}`, ...config },
});

const pool1 = (pick: Pick, shape: Shape) => ({
  pool_size: window1(pick, shape),
  strides: pick(2, 1, 3),
  ...padding(pick),
});
const pool2 = (pick: Pick, shape: Shape) => ({
  pool_size: window2(pick, shape),
  strides: pick([2, 2], [1, 1], [2, 1], [1, 3]),
  ...padding(pick),
});
/** How much may be cut from an axis. */
const cut = (pick: Pick, size: number) =>
  pick(
    ...[
      [0, 0],
      [1, 0],
      [0, 1],
      [1, 1],
    ].slice(0, size > 2 ? 4 : size),
  );

/** Every layer of one input that the engine has and tfjs can train on its CPU backend. */
export const LINES: Readonly<Record<string, Line>> = {
  Dense: (shape, pick) =>
    shape.length <= 3 ? { units: units(pick), ...activation(pick), ...useBias(pick) } : null,
  Activation: (_, pick) => activation(pick),
  Flatten: (shape) => (row(shape) ? null : {}),
  Conv1D: on(series, (pick, shape) => ({
    filters: units(pick),
    kernel_size: window1(pick, shape, 4),
    ...strides1(pick),
    ...padding(pick),
    ...activation(pick),
    ...useBias(pick),
  })),
  Conv2D: on(image, (pick, shape) => ({
    filters: units(pick),
    kernel_size: window2(pick, shape),
    ...strides2(pick),
    ...padding(pick),
    ...activation(pick),
    ...useBias(pick),
  })),
  Conv2DTranspose: on(image, (pick, shape) => ({
    filters: units(pick),
    kernel_size: window2(pick, shape),
    ...strides2(pick),
    ...padding(pick),
    ...activation(pick),
    ...useBias(pick),
  })),
  DepthwiseConv2D: on(image, (pick, shape) => ({
    kernel_size: window2(pick, shape),
    strides: pick([1, 1], [2, 2]),
    depth_multiplier: pick(1, 2),
    ...padding(pick),
    ...activation(pick),
    ...useBias(pick),
  })),
  SeparableConv2D: on(image, (pick, shape) => ({
    filters: units(pick),
    kernel_size: window2(pick, shape),
    strides: pick([1, 1], [2, 2]),
    depth_multiplier: pick(1, 2),
    ...padding(pick),
    ...activation(pick),
    ...useBias(pick),
  })),
  MaxPooling1D: on(series, pool1),
  MaxPooling2D: on(image, pool2),
  AveragePooling1D: on(series, pool1),
  AveragePooling2D: on(image, pool2),
  GlobalMaxPooling1D: on(series, (pick) => ({ keepdims: pick(false, true) })),
  GlobalMaxPooling2D: on(image, (pick) => ({ keepdims: pick(false, true) })),
  GlobalAveragePooling1D: on(series, (pick) => ({ keepdims: pick(false, true) })),
  GlobalAveragePooling2D: on(image, (pick) => ({ keepdims: pick(false, true) })),
  UpSampling1D: on(series, (pick) => ({ size: pick(2, 1, 3) })),
  UpSampling2D: on(image, (pick) => ({
    size: pick([2, 2], [1, 2], [3, 1]),
    interpolation: pick("nearest", "bilinear"),
  })),
  ZeroPadding1D: on(series, (pick) => ({ padding: pick([1, 1], [0, 1], [2, 0]) })),
  ZeroPadding2D: on(image, (pick) => ({ padding: [pick([1, 1], [0, 1]), pick([1, 1], [2, 0])] })),
  Cropping1D: on(series, (pick, [time]) => ({ cropping: cut(pick, time!) })),
  Cropping2D: on(image, (pick, [height, width]) => ({ cropping: [cut(pick, height!), cut(pick, width!)] })),
  Reshape: (shape, pick) => {
    const size = sizeOf(shape);
    const divisor = pick(...[1, 2, 3, 4, 5].filter((option) => size % option === 0));
    return { target_shape: pick([divisor, size / divisor], [size / divisor, 1, divisor], [size]) };
  },
  Permute: (shape, pick) =>
    row(shape) || shape.length > 3
      ? null
      : { dims: series(shape) ? pick([2, 1], [1, 2]) : pick([2, 1, 3], [3, 1, 2], [3, 2, 1], [1, 3, 2]) },
  RepeatVector: on(row, (pick) => ({ n: pick(2, 1, 3, 5) })),
  SimpleRNN: on(many, (pick) => ({ ...recurrent(pick), recurrent_initializer: initializer })),
  GRU: on(many, gru),
  LSTM: on(many, lstm),
  Bidirectional: on(many, (pick) => ({
    layer: nested(
      ...pick<[string, Config]>(
        ["GRU", { ...gru(pick), go_backwards: false }],
        ["LSTM", { ...lstm(pick), go_backwards: false }],
      ),
    ),
    merge_mode: pick("concat", "sum", "ave", "mul"),
  })),
  TimeDistributed: on(many, (pick) => ({
    layer: nested("Dense", { units: units(pick), ...activation(pick) }),
  })),
  // tfjs can't train the normalizations without their center or scale. With a small epsilon, one on another turns rounding into whole
  // gradients, in either engine.
  BatchNormalization: (_, pick) => ({
    axis: -1,
    momentum: pick(0.99, 0.8),
    epsilon: pick(0.1, 0.01),
  }),
  LayerNormalization: (_, pick) => ({ axis: -1, epsilon: pick(0.1, 0.01) }),
  PReLU: (shape, pick) => ({ shared_axes: row(shape) ? null : pick(null, [1]) }),
  LeakyReLU: (_, pick) => ({ alpha: pick(0.3, 0.1) }),
  ELU: () => ({ alpha: 1 }),
  ReLU: (_, pick) => ({ max_value: pick(null, 1) }),
  Softmax: () => ({ axis: -1 }),
  Dropout: () => ({ rate: 0 }), // what is drawn can't be the same
};

const dilated = (pick: Pick) => ({ dilation_rate: pick(2, 1) });
const heads = (pick: Pick) => ({
  num_heads: pick(2, 1, 3),
  dropout: pick(0, 0.3),
  key_dim: pick(3, 1, 4),
  use_bias: pick(true, false),
});

/** What tfjs can't train, or not in the same way. */
export const OWN_LINES: Readonly<Record<string, Line>> = {
  ...LINES,
  Conv1D: on(series, (pick) => ({
    filters: units(pick),
    kernel_size: pick(2, 3),
    padding: pick("causal", "same"),
    ...dilated(pick),
    ...activation(pick),
  })),
  Conv2D: on(image, (pick) => ({
    filters: units(pick),
    kernel_size: [2, 3],
    padding: "same",
    ...dilated(pick),
    ...activation(pick),
  })),
  Conv1DTranspose: on(series, (pick, shape) => ({
    filters: units(pick),
    kernel_size: window1(pick, shape),
    ...strides1(pick),
    ...padding(pick),
    ...activation(pick),
  })),
  DepthwiseConv1D: on(series, (pick, shape) => ({
    kernel_size: window1(pick, shape),
    depth_multiplier: pick(2, 1),
    ...padding(pick),
    ...activation(pick),
  })),
  SeparableConv1D: on(series, (pick, shape) => ({
    filters: units(pick),
    kernel_size: window1(pick, shape),
    depth_multiplier: pick(2, 1),
    ...padding(pick),
    ...activation(pick),
  })),
  GRU: on(series, (pick) => ({ ...gated(pick), dropout: pick(0, 0.3), reset_after: pick(true, false) })),
  LSTM: on(series, (pick) => ({ ...gated(pick), dropout: pick(0, 0.3) })),
  SimpleRNN: on(series, (pick) => ({ ...recurrent(pick), dropout: pick(0, 0.3) })),
  Masking: on(series, () => ({ mask_value: 0 })),
  BatchNormalization: (_, pick) => ({ axis: -1, center: pick(true, false), scale: pick(true, false) }),
  LayerNormalization: (_, pick) => ({ axis: -1, center: pick(true, false), scale: pick(true, false) }),
  Dropout: (_, pick) => ({ rate: pick(0.5, 0.1) }),
  AlphaDropout: (_, pick) => ({ rate: pick(0.5, 0.1) }),
  GaussianDropout: (_, pick) => ({ rate: pick(0.5, 0.1) }),
  GaussianNoise: () => ({ stddev: 0.1 }),
  SpatialDropout1D: on(series, () => ({ rate: 0.3 })),
  SpatialDropout2D: on(image, () => ({ rate: 0.3 })),
  ThresholdedReLU: () => ({ theta: 0.5 }),
  SinePositionEncoding: on(series, () => ({})),
  PositionEmbedding: on(series, (_, [time]) => ({ sequence_length: time })),
};

const same = (a: Shape, b: Shape) => a.join() === b.join();
/** Sizes equal or 1, missing ones in front. */
const repeats = (a: Shape, b: Shape) => {
  const reach = Math.min(a.length, b.length);
  const [left, right] = [a.slice(a.length - reach), b.slice(b.length - reach)];
  return left.every((size, i) => size === right[i] || size === 1 || right[i] === 1);
};
const merge: Join = { fits: repeats, config: () => ({}), most: 3 };

/** Layers of several inputs. */
export const JOINS: Readonly<Record<string, Join>> = {
  Add: merge,
  Subtract: { ...merge, most: 2 },
  Multiply: merge,
  Average: merge,
  Maximum: merge,
  Minimum: merge,
  Concatenate: {
    fits: (shape, other) =>
      same(shape.slice(0, -1), other.slice(0, -1)) || same(shape.slice(1), other.slice(1)),
    config: (pick, shapes) => {
      // Both axes may be right; where there are three inputs all must agree.
      const last = shapes.every((shape) => same(shape.slice(0, -1), shapes[0]!.slice(0, -1)));
      const first = shapes.every((shape) => same(shape.slice(1), shapes[0]!.slice(1)));
      return { axis: last && first ? pick(-1, 1) : last ? -1 : 1 };
    },
    most: 2,
  },
};

/** Attention takes queries and values. */
export const OWN_JOINS: Readonly<Record<string, Join>> = {
  ...JOINS,
  AdditiveAttention: {
    fits: (shape, other) => series(shape) && series(other) && shape[1] === other[1],
    config: (pick) => ({ use_scale: pick(true, false), causal: pick(false, true), dropout: pick(0, 0.3) }),
    most: 2,
  },
  Attention: {
    fits: (shape, other) => series(shape) && series(other) && shape[1] === other[1],
    config: (pick) => ({ use_scale: pick(false, true), causal: pick(false, true), dropout: pick(0, 0.3) }),
    most: 2,
  },
  MultiHeadAttention: { fits: (shape, other) => series(shape) && series(other), config: heads, most: 2 },
};

/** Whole numbers below this are the inputs of an Embedding. */
export const TOKENS = 6;
const embedding: Line = (_, pick) => ({ input_dim: TOKENS, output_dim: units(pick) });

const INPUTS: readonly Shape[] = [[3], [4, 2], [4, 4, 1], [5], [6, 3], [5, 4, 3], [1], [3, 1], [2, 3, 5]];
/** Of one sample: small, so that hundreds of models take seconds. */
const MOST_FLOATS = 160;
const CHOICES = 12;

export interface Recipe {
  readonly inputs: readonly { readonly shape: number; readonly tokens: boolean }[];
  /** A Dense right behind the first input, so that what follows has weights before it and its input gradient shows in them. */
  readonly front: boolean;
  readonly steps: readonly {
    readonly layer: number;
    readonly from: number;
    readonly others: readonly number[];
    readonly choices: readonly number[];
  }[];
  readonly sequential: boolean;
}

const large = fc.nat(9_999);
export const recipes: fc.Arbitrary<Recipe> = fc.record({
  inputs: fc.array(fc.record({ shape: large, tokens: fc.integer({ min: 0, max: 5 }).map((n) => n === 5) }), {
    minLength: 1,
    maxLength: 2,
  }),
  front: fc.integer({ min: 0, max: 3 }).map((n) => n < 3),
  steps: fc.array(
    fc.record({
      layer: large,
      from: fc.nat(9),
      others: fc.array(large, { minLength: 2, maxLength: 2 }),
      choices: fc.array(fc.nat(23), { minLength: CHOICES, maxLength: CHOICES }),
    }),
    { minLength: 1, maxLength: 7 },
  ),
  sequential: fc.boolean(),
});

interface Node {
  readonly name: string;
  readonly className: string;
  readonly config: Config;
  readonly inputs: readonly number[];
  readonly shape: Shape;
}

export interface Built {
  /** LayersModel JSON. */
  readonly topology: object;
  readonly layers: readonly string[];
  /** Of each input: whether it holds tokens. */
  readonly tokens: readonly boolean[];
}

/** `prefix`: of all names. tfjs keeps the order of a model's layers by their names, also for the next model. */
export function build(recipe: Recipe, { prefix = "", lines = LINES, joins = JOINS } = {}): Built {
  const nodes: Node[] = [];
  const tokens = new Set<number>();
  const push = (className: string, config: Config, inputs: readonly number[]): void => {
    const name = `${prefix}${className.toLowerCase()}_${nodes.length}`;
    const inputShapes = inputs.map((input) => nodes[input]!.shape);
    const kind = layerKinds.get(className)!;
    const plan = kind({
      name,
      className,
      config: { name, ...config },
      call: {},
      inputShapes,
      inputShape: inputShapes[0]!,
    });
    if (sizeOf(plan.outputShape) > MOST_FLOATS) return;
    nodes.push({ name, className, config: { name, ...config }, inputs, shape: plan.outputShape });
  };
  recipe.inputs.forEach((input, i) => {
    const shape = INPUTS[input.shape % INPUTS.length]!;
    if (input.tokens && shape.length === 1) tokens.add(i);
    nodes.push({ name: `${prefix}input_${i}`, className: "InputLayer", config: {}, inputs: [], shape });
  });
  const count = nodes.length;
  const plain = { units: 4, activation: "linear", use_bias: true };
  for (let i = 0; i < count; i++) {
    if (tokens.has(i)) push("Embedding", embedding(nodes[i]!.shape, pickFrom([])) ?? {}, [i]);
    else if (recipe.front || i > 0) push("Dense", plain, [i]);
  }
  for (const { layer, from, others, choices } of recipe.steps) {
    const pick = pickFrom(choices);
    // Mostly the last one: chains. Tokens go through their embedding only.
    const open = nodes.map((_, i) => i).filter((i) => !tokens.has(i));
    const source = from < 7 || open.length === 0 ? open.at(-1)! : open[(from * 7) % open.length]!;
    const { shape } = nodes[source]!;
    const candidates = [
      ...Object.entries(lines).filter(([, line]) => line(shape, (first) => first) !== null),
      // Twice, as they are few.
      ...[...Object.entries(joins), ...Object.entries(joins)].filter(([, { fits }]) =>
        open.some((i) => i !== source && fits(shape, nodes[i]!.shape)),
      ),
    ];
    const [className, entry] = candidates[layer % candidates.length]!;
    if (typeof entry === "function") {
      push(className, entry(shape, pick)!, [source]);
      continue;
    }
    // A tensor joins another one: tfjs can't join it with itself.
    const inputs = [source];
    for (const other of others.slice(0, entry.most - 1)) {
      const fitting = open.filter(
        (i) =>
          !inputs.includes(i) && inputs.every((input) => entry.fits(nodes[input]!.shape, nodes[i]!.shape)),
      );
      if (fitting.length > 0) inputs.push(fitting[other % fitting.length]!);
    }
    push(
      className,
      entry.config(
        pick,
        inputs.map((input) => nodes[input]!.shape),
      ),
      inputs,
    );
  }
  // Of one unit: never too large.
  if (!nodes.some(({ className }) => WITH_WEIGHTS.has(className)))
    push("Dense", { ...plain, units: 1 }, [nodes.length - 1]);
  return { ...written(nodes, count, recipe.sequential, tokens) };
}

/** Of those some are surely there, so that there is something to train. */
const WITH_WEIGHTS = new Set(["Dense", "Conv1D", "Conv2D", "GRU", "LSTM", "SimpleRNN", "Embedding"]);

function pickFrom(choices: readonly number[]): Pick {
  let next = 0;
  return (...options) => options[(choices[next++ % CHOICES] ?? 0) % options.length]!;
}

/** As LayersModel JSON: all that nothing else uses is an output; inputs that nothing uses are left out. */
function written(
  nodes: readonly Node[],
  count: number,
  sequential: boolean,
  tokens: ReadonlySet<number>,
): Built {
  const used = new Set(nodes.flatMap(({ inputs }) => inputs));
  const kept = nodes.map((node, i) => ({ ...node, i })).filter(({ i }) => i >= count || used.has(i));
  const inputs = kept.filter(({ i }) => i < count);
  const outputs = kept.filter(({ i }) => i >= count && !used.has(i));
  const layers = kept.filter(({ i }) => i >= count);
  const common = {
    layers: layers.map(({ className }) => className),
    tokens: inputs.map(({ i }) => tokens.has(i)),
  };
  const isChain =
    inputs.length === 1 &&
    layers.every(({ inputs: from }, k) => from.length === 1 && from[0] === (layers[k - 1] ?? inputs[0]!).i);
  if (sequential && isChain) {
    const shape = { batch_input_shape: [null, ...inputs[0]!.shape] };
    return {
      ...common,
      topology: {
        class_name: "Sequential",
        config: {
          name: "random",
          layers: layers.map(({ className, config }, k) => ({
            class_name: className,
            config: k === 0 ? { ...config, ...shape } : config,
          })),
        },
      },
    };
  }
  const reference = ({ name }: Node) => [name, 0, 0];
  return {
    ...common,
    topology: {
      class_name: "Model",
      config: {
        name: "random",
        layers: kept.map(({ name, className, config, inputs: from, shape, i }) => ({
          class_name: className,
          name,
          config:
            i < count
              ? { name, batch_input_shape: [null, ...shape], dtype: "float32", sparse: false }
              : config,
          inbound_nodes: from.length === 0 ? [] : [from.map((input) => [...reference(nodes[input]!), {}])],
        })),
        input_layers: inputs.map(reference),
        output_layers: outputs.map(reference),
      },
    },
  };
}
