import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { exportOnnx, importKeras } from "../../../models/engine/files/index.ts";
import { emitters } from "../../../models/engine/files/onnx/layers.ts";
import { compile, type Model } from "../../../models/engine/index.ts";
import { layerNames } from "../../../models/engine/layers/registry.ts";
import { sizeOf } from "../../../models/engine/shape.ts";
import { InferenceSession, Tensor } from "./onnxruntime.ts";
import { type LayerJson, layer, randomFloats, relativeError, sequential } from "./support.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const BATCH = 3;
const seen = new Set<string>();

/** A graph by hand: each entry is a layer and the names of its inputs. */
function functional(
  inputs: Record<string, readonly number[]>,
  layers: Record<string, readonly [LayerJson, readonly string[], object?]>,
  outputs: readonly string[],
) {
  return {
    class_name: "Functional",
    config: {
      name: "graph",
      layers: [
        ...Object.entries(inputs).map(([name, shape]) => ({
          class_name: "InputLayer",
          name,
          config: { name, batch_input_shape: [null, ...shape] },
          inbound_nodes: [],
        })),
        ...Object.entries(layers).map(([name, [json, from, call = {}]]) => ({
          class_name: json.class_name,
          name,
          config: { name, ...json.config },
          inbound_nodes: [from.map((source, i) => [source, 0, 0, i === 0 ? call : {}])],
        })),
      ],
      input_layers: Object.keys(inputs).map((name) => [name, 0, 0]),
      output_layers: outputs.map((name) => [name, 0, 0]),
    },
  };
}

function classesIn(json: unknown): string[] {
  if (Array.isArray(json)) return json.flatMap(classesIn);
  if (typeof json !== "object" || json === null) return [];
  const { class_name, ...rest } = json as { class_name?: string };
  return [...(class_name === undefined ? [] : [class_name]), ...Object.values(rest).flatMap(classesIn)];
}

/** That onnxruntime gives what the engine gives, for every output. */
async function expectSame(model: Model, inputs?: (size: number, i: number) => Float32Array): Promise<void> {
  for (const name of classesIn(model.topology)) seen.add(name);
  const session = await InferenceSession.create(await exportOnnx(model));
  const { config } = model.topology as { config: { input_layers?: unknown } };
  const shapes =
    config.input_layers === undefined || session.inputNames.length === 1
      ? [model.inputShape]
      : inputShapesOf(model);
  const xs = shapes.map((shape, i) => (inputs ?? randomInput)(BATCH * sizeOf(shape), i));
  const feeds = Object.fromEntries(
    session.inputNames.map((name, i) => [name, new Tensor("float32", xs[i]!, [BATCH, ...shapes[i]!])]),
  );
  const results = await session.run(feeds);
  const expected = model.predictAll(xs);
  expect(session.outputNames.length).toBe(expected.length);
  session.outputNames.forEach((name, i) => {
    expect(relativeError(results[name]!.data, expected[i]!), name).toBeLessThan(1e-4);
  });
}

function inputShapesOf(model: Model): number[][] {
  const { config } = model.topology as {
    config: { layers: { class_name: string; config: { batch_input_shape: number[] } }[] };
  };
  return config.layers
    .filter(({ class_name }) => class_name === "InputLayer")
    .map((input) => input.config.batch_input_shape.slice(1));
}

const randomInput = (size: number, i: number) => randomFloats(size, i + 1, 2);

/** Random weights of both signs; what must be positive (variances) stays so. */
async function compiled(topology: unknown): Promise<Model> {
  const model = await compile(topology, { seed: 7 });
  let offset = 0;
  const flat = randomFloats(model.parameters, 3, 0.9);
  for (const { name, shape } of model.layout) {
    const part = flat.subarray(offset, offset + sizeOf(shape));
    if (name.endsWith("variance")) part.set(part.map((value) => Math.abs(value) + 0.1));
    offset += part.length;
  }
  model.setWeights(flat);
  return model;
}

const seq = { return_sequences: true };
const CASES: [string, unknown][] = [
  [
    "Dense on rows and on steps",
    sequential([4, 3], layer("Dense", { units: 5 }), layer("Dense", { units: 2, use_bias: false })),
  ],
  ...["relu", "tanh", "sigmoid", "hard_sigmoid", "relu6", "exponential", "softmax", "log_softmax"].map(named),
  ...[
    "elu",
    "selu",
    "leaky_relu",
    "gelu",
    "gelu_new",
    "softplus",
    "softsign",
    "swish",
    "mish",
    "hard_silu",
  ].map(named),
  [
    "rectifiers",
    sequential(
      [3, 7],
      layer("ReLU", { max_value: 1.5, negative_slope: 0.1, threshold: 0.2 }),
      layer("LeakyReLU", { alpha: 0.2 }),
      layer("ELU", { alpha: 0.5 }),
      layer("ThresholdedReLU", { theta: 0.3 }),
      layer("PReLU", {}),
      layer("PReLU", { shared_axes: [1] }),
      layer("Softmax", { axis: -1 }),
    ),
  ],
  [
    "dropout and noise, which score as nothing",
    sequential(
      [4, 3],
      layer("Dropout", { rate: 0.5 }),
      layer("SpatialDropout1D", { rate: 0.5 }),
      layer("GaussianNoise", { stddev: 1 }),
      layer("GaussianDropout", { rate: 0.5 }),
      layer("AlphaDropout", { rate: 0.5 }),
      layer("Dense", { units: 2 }),
    ),
  ],
  [
    "SimpleRNN",
    sequential(
      [5, 3],
      layer("SimpleRNN", { units: 4, activation: "relu", ...seq }),
      layer("SimpleRNN", { units: 3 }),
    ),
  ],
  [
    "GRU that resets before",
    sequential([5, 3], layer("GRU", { units: 4, reset_after: false, ...seq }), layer("GRU", { units: 3 })),
  ],
  [
    "GRU that resets after",
    sequential(
      [5, 3],
      layer("GRU", { units: 4, reset_after: true, ...seq }),
      layer("GRU", { units: 3, reset_after: true, use_bias: false }),
    ),
  ],
  [
    "GRU and LSTM with other activations",
    sequential(
      [5, 3],
      layer("GRU", { units: 4, recurrent_activation: "hard_sigmoid", activation: "linear", ...seq }),
      layer("LSTM", { units: 4, recurrent_activation: "hard_sigmoid", activation: "relu" }),
    ),
  ],
  [
    "LSTM",
    sequential(
      [5, 3],
      layer("LSTM", { units: 4, recurrent_dropout: 0.4, ...seq }),
      layer("LSTM", { units: 3, use_bias: false }),
    ),
  ],
  [
    "recurrent layers from the end, with all steps and with the last",
    sequential(
      [5, 3],
      layer("LSTM", { units: 4, go_backwards: true, ...seq }),
      layer("GRU", { units: 3, go_backwards: true }),
    ),
  ],
  [
    "RNN of cells",
    sequential(
      [5, 3],
      layer("RNN", {
        cell: { class_name: "GRUCell", config: { units: 4, recurrent_activation: "sigmoid" } },
        ...seq,
      }),
      layer("RNN", {
        cell: { class_name: "LSTMCell", config: { units: 3, recurrent_activation: "sigmoid" } },
      }),
    ),
  ],
  ...["concat", "sum", "ave", "mul"].map((merge_mode): [string, unknown] => [
    `Bidirectional, ${merge_mode}`,
    sequential(
      [5, 3],
      layer("Bidirectional", {
        merge_mode,
        layer: {
          class_name: "LSTM",
          config: { name: "a", units: 4, recurrent_activation: "sigmoid", ...seq },
        },
      }),
      layer("Bidirectional", {
        merge_mode,
        layer: { class_name: "GRU", config: { name: "b", units: 3, recurrent_activation: "sigmoid" } },
      }),
    ),
  ]),
  [
    "TimeDistributed",
    sequential(
      [3, 5, 4, 2],
      layer("TimeDistributed", {
        layer: { class_name: "Conv2D", config: { filters: 3, kernel_size: 2, activation: "gelu" } },
      }),
      layer("TimeDistributed", { layer: { class_name: "Flatten", config: {} } }),
      layer("TimeDistributed", { layer: { class_name: "Dense", config: { units: 2 } } }),
    ),
  ],
  ...(["valid", "same", "causal"] as const).flatMap((padding) =>
    (
      [
        [1, 1],
        [2, 1],
        [1, 2],
      ] as const
    ).map(([strides, dilation_rate]): [string, unknown] => [
      `Conv1D, ${padding}, strides ${strides}, dilation ${dilation_rate}`,
      sequential(
        [11, 3],
        layer("Conv1D", { filters: 5, kernel_size: 3, padding, strides, dilation_rate, activation: "tanh" }),
      ),
    ]),
  ),
  ...(["valid", "same"] as const).flatMap((padding) =>
    [1, 2, [2, 3]].flatMap((strides): [string, unknown][] => [
      [
        `Conv2D, ${padding}, strides ${strides}`,
        sequential(
          [7, 8, 3],
          layer("Conv2D", { filters: 4, kernel_size: [3, 2], padding, strides, activation: "relu" }),
        ),
      ],
      [
        `Conv2DTranspose, ${padding}, strides ${strides}`,
        sequential(
          [4, 5, 3],
          layer("Conv2DTranspose", { filters: 4, kernel_size: [3, 2], padding, strides }),
        ),
      ],
      [
        `DepthwiseConv2D, ${padding}, strides ${strides}`,
        sequential(
          [7, 8, 3],
          layer("DepthwiseConv2D", {
            kernel_size: 3,
            padding,
            strides: Array.isArray(strides) ? 2 : strides,
            depth_multiplier: 2,
          }),
        ),
      ],
      [
        `SeparableConv2D, ${padding}, strides ${strides}`,
        sequential(
          [7, 8, 3],
          layer("SeparableConv2D", {
            filters: 4,
            kernel_size: 3,
            padding,
            strides: Array.isArray(strides) ? 2 : strides,
            depth_multiplier: 2,
          }),
        ),
      ],
      [
        `pooling over images, ${padding}, strides ${strides}`,
        sequential(
          [7, 8, 3],
          layer("MaxPooling2D", { pool_size: [2, 3], padding, strides }),
          layer("AveragePooling2D", { pool_size: [2, 2], padding, strides: 1 }),
        ),
      ],
    ]),
  ),
  ...(["valid", "same"] as const).map((padding): [string, unknown] => [
    `over series: transposed, depthwise and separable convolutions, pooling, ${padding}`,
    sequential(
      [9, 3],
      layer("Conv1DTranspose", { filters: 4, kernel_size: 2, strides: 3, padding }),
      layer("DepthwiseConv1D", { kernel_size: 3, padding, strides: 2 }),
      layer("SeparableConv1D", { filters: 4, kernel_size: 3, padding }),
      layer("MaxPooling1D", { pool_size: 3, strides: 2, padding }),
      layer("AveragePooling1D", { pool_size: 2, padding }),
    ),
  ]),
  ...["GlobalMaxPooling", "GlobalAveragePooling"].map((name): [string, unknown] => [
    name,
    functional(
      { series: [5, 3], image: [4, 5, 3] },
      {
        a: [layer(`${name}1D`), ["series"]],
        b: [layer(`${name}2D`), ["image"]],
        c: [layer(`${name}2D`, { keepdims: true }), ["image"]],
      },
      ["a", "b", "c"],
    ),
  ]),
  [
    "growing and cutting",
    functional(
      { series: [5, 3], image: [4, 5, 3] },
      {
        a: [layer("UpSampling1D", { size: 3 }), ["series"]],
        b: [layer("ZeroPadding1D", { padding: [1, 2] }), ["a"]],
        c: [layer("Cropping1D", { cropping: [2, 1] }), ["b"]],
        d: [layer("UpSampling2D", { size: [2, 3] }), ["image"]],
        e: [
          layer("ZeroPadding2D", {
            padding: [
              [1, 0],
              [2, 1],
            ],
          }),
          ["d"],
        ],
        f: [
          layer("Cropping2D", {
            cropping: [
              [0, 1],
              [2, 3],
            ],
          }),
          ["e"],
        ],
        g: [layer("UpSampling2D", { size: [2, 3], interpolation: "bilinear" }), ["image"]],
        h: [layer("UpSampling2D", { size: 2, interpolation: "bilinear", dtype: "float32" }), ["image"]],
      },
      ["c", "f", "g", "h"],
    ),
  ],
  [
    "shapes",
    functional(
      { x: [4, 6], v: [5] },
      {
        flat: [layer("Flatten"), ["x"]],
        seen: [layer("Reshape", { target_shape: [3, -1, 2] }), ["x"]],
        turned: [layer("Permute", { dims: [3, 1, 2] }), ["seen"]],
        again: [layer("RepeatVector", { n: 3 }), ["v"]],
      },
      ["flat", "turned", "again"],
    ),
  ],
  [
    "merging, with an input that has fewer axes",
    functional(
      { a: [4, 3], b: [4, 3], c: [3] },
      {
        add: [layer("Add"), ["a", "b", "c"]],
        subtract: [layer("Subtract"), ["a", "b"]],
        multiply: [layer("Multiply"), ["a", "c"]],
        average: [layer("Average"), ["a", "b"]],
        maximum: [layer("Maximum"), ["a", "b"]],
        minimum: [layer("Minimum"), ["a", "b"]],
        last: [layer("Concatenate"), ["a", "b"]],
        first: [layer("Concatenate", { axis: 1 }), ["a", "b"]],
      },
      ["add", "subtract", "multiply", "average", "maximum", "minimum", "last", "first", "a"],
    ),
  ],
  [
    "normalization",
    sequential(
      [4, 3],
      layer("BatchNormalization", {}),
      layer("LayerNormalization", {}),
      layer("LayerNormalization", { axis: [1, 2], center: false }),
      layer("BatchNormalization", { scale: false, epsilon: 0.1 }),
      layer("LayerNormalization", { scale: false }),
    ),
  ],
  [
    "attention",
    functional(
      { q: [4, 6], v: [5, 6], k: [5, 6] },
      {
        place: [layer("SinePositionEncoding"), ["q"]],
        learned: [layer("PositionEmbedding", { sequence_length: 9 }), ["v"]],
        sum: [layer("Add"), ["q", "place"]],
        plain: [layer("Attention", { use_scale: true }), ["sum", "v", "k"]],
        causal: [layer("Attention", {}), ["sum", "learned"], { use_causal_mask: true }],
        dotted: [layer("Dot", { axes: [2, -1] }), ["sum", "v"]],
        additive: [layer("AdditiveAttention", { dropout: 0.2 }), ["sum", "v", "k"]],
        past: [
          layer("AdditiveAttention", { use_scale: false }),
          ["sum", "learned"],
          { use_causal_mask: true },
        ],
        heads: [
          layer("MultiHeadAttention", { num_heads: 2, key_dim: 3, value_dim: 5, dropout: 0.4 }),
          ["sum", "v", "k"],
        ],
        itself: [
          layer("MultiHeadAttention", { num_heads: 3, key_dim: 2, use_bias: false, output_shape: 4 }),
          ["sum", "sum"],
          { use_causal_mask: true },
        ],
      },
      ["dotted", "plain", "causal", "additive", "past", "heads", "itself", "learned"],
    ),
  ],
];

function named(activation: string): [string, unknown] {
  return [
    activation,
    sequential([4, 3], layer("Dense", { units: 6, activation }), layer("Activation", { activation })),
  ];
}

describe("ONNX", () => {
  it.each(CASES)("onnxruntime gives the engine's outputs: %s", async (_, topology) => {
    await expectSame(await compiled(topology));
  });

  it("onnxruntime gives the engine's outputs: tokens", async () => {
    const model = await compiled(
      sequential([6], layer("Embedding", { input_dim: 9, output_dim: 3 }), layer("GRU", { units: 2 })),
    );
    await expectSame(model, (size) => Float32Array.from({ length: size }, (_, i) => (i * 7) % 9));
  });

  it("a layer that is called twice, and a model inside, come out whole", async () => {
    const inner = tf.sequential({
      layers: [
        tf.layers.dense({ units: 4, inputShape: [3], activation: "tanh" }),
        tf.layers.dense({ units: 3 }),
      ],
    });
    const x = tf.input({ shape: [3] });
    const h = inner.apply(inner.apply(x)) as tf.SymbolicTensor;
    await expectSame(await compiled(tf.model({ inputs: x, outputs: [h, h] }).toJSON(null, false)));
  });

  it("a model that came from Keras 3 goes on to onnxruntime", async () => {
    const folder = join(import.meta.dirname, "../../fixtures/keras");
    for (const name of ["wrapped.keras", "recurrent.keras"]) {
      const model = await importKeras(readFileSync(join(folder, name)));
      await expectSame(model);
    }
  });

  it("every layer of the engine was in one of these models, but for those that are refused by name", async () => {
    const refused = layerNames.filter((name) => !emitters.has(name));
    expect(refused).toEqual(["Masking"]);
    const short = (name: string) => name.replace(/Avg/, "Average").replace(/Pool(?=\dD)/, "Pooling");
    const missing = [...emitters.keys()].filter((name) => !seen.has(short(name)));
    expect(missing).toEqual(["SpatialDropout2D"]); // as SpatialDropout1D
  });

  it.each([
    ["Masking", sequential([4, 3], layer("Masking"), layer("GRU", { units: 2 }))],
    ["mask_zero", sequential([4], layer("Embedding", { input_dim: 3, output_dim: 2, mask_zero: true }))],
    ["relu6", sequential([4, 3], layer("GRU", { units: 2, activation: "relu6" }))],
  ])("what has no ONNX form is refused by name: %s", async (words, topology) => {
    const model = await compile(topology, { seed: 1 });
    await expect(exportOnnx(model)).rejects.toThrow(
      expect.objectContaining({ code: "UNSUPPORTED", message: expect.stringContaining(words) }),
    );
  });
});
