import { type Emission, type Emit, reshaped, transposed, weightOf } from "./emit.ts";
import type { Graph } from "./graph.ts";

export const attention: Readonly<Record<string, Emit>> = {
  Attention(e) {
    const { graph, inputs } = e;
    const [query, value, key = value] = inputs as [string, string, string?];
    const scale = e.weight("scale");
    const queries = scale === undefined ? query : graph.node("Mul", [query, graph.number(scale.values[0]!)]);
    return attend(e, { query: queries, key, value, scale: 1, rank: 3 });
  },
  AdditiveAttention(e) {
    const { graph, inputs } = e;
    const [query, value, key = value] = inputs as [string, string, string?];
    const [T, S] = stepsOf(e);
    const channels = e.inputShapes[0]![1]!;
    const sums = graph.node("Add", [
      reshaped(graph, query, [T, 1, channels]),
      reshaped(graph, key, [1, S, channels]),
    ]);
    const scale = e.weight("scale")?.values ?? new Float32Array(channels).fill(1);
    const product = graph.node("MatMul", [graph.node("Tanh", [sums]), graph.floats(scale, [channels, 1])]);
    return weigh(e, reshaped(graph, product, [T, S]), value);
  },
  MultiHeadAttention(e) {
    const { graph, inputs } = e;
    const [query, value, key = value] = inputs as [string, string, string?];
    const heads = e.config.num_heads as number;
    const size = e.config.key_dim as number;
    const valueSize = (e.config.value_dim as number | null | undefined) ?? size;
    /** (batch, heads, steps, size) */
    const project = (name: string, input: string, steps: number, width: number) => {
      const rows = biased(e, name, input, heads * width);
      return transposed(graph, reshaped(graph, rows, [steps, heads, width]), [0, 2, 1, 3]);
    };
    const [T, S] = stepsOf(e);
    const joined = attend(e, {
      query: project("query", query, T, size),
      key: project("key", key, S, size),
      value: project("value", value, S, valueSize),
      scale: 1 / Math.sqrt(size),
      rank: 4,
    });
    const side = reshaped(graph, transposed(graph, joined, [0, 2, 1, 3]), [T, heads * valueSize]);
    return biased(e, "attention_output", side, e.outputShape[1]!);
  },
  SinePositionEncoding(e) {
    const [T, C] = e.outputShape as [number, number];
    const wavelength = (e.config.max_wavelength as number | undefined) ?? 10_000;
    const table = Float32Array.from({ length: T * C }, (_, i) => {
      const [t, c] = [Math.floor(i / C), i % C];
      const angle = t / wavelength ** ((2 * Math.floor(c / 2)) / C);
      return c % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
    });
    return forWholeBatch(e.graph, e.graph.floats(table, [1, T, C]), e.inputs[0]!);
  },
  PositionEmbedding(e) {
    const [T, C] = e.outputShape as [number, number];
    const { values } = weightOf(e, "embeddings");
    return forWholeBatch(e.graph, e.graph.floats(values.subarray(0, T * C), [1, T, C]), e.inputs[0]!);
  },
};

/** Steps of the queries, and of keys and values. */
function stepsOf({ inputShapes }: Emission): [T: number, S: number] {
  return [inputShapes[0]![0]!, inputShapes[1]![0]!];
}

/** x W + b along the last axis, with a kernel of any shape seen as (channels, size). */
function biased(e: Emission, name: string, x: string, size: number): string {
  const kernel = weightOf(e, `${name}/kernel`);
  const product = e.graph.node("MatMul", [
    x,
    e.graph.floats(kernel.values, [kernel.values.length / size, size]),
  ]);
  const bias = e.weight(`${name}/bias`);
  return bias === undefined ? product : e.graph.node("Add", [product, e.graph.floats(bias.values, [size])]);
}

interface Parts {
  readonly query: string;
  readonly key: string;
  readonly value: string;
  readonly scale: number;
  /** 3: (batch, steps, channels), 4: with heads in the second place. */
  readonly rank: 3 | 4;
}

/** Low enough that e^x of it is 0, and no Inf, of which the difference would be NaN. */
const NEVER = -1e30;

/** softmax(scale q k) over v. */
function attend(e: Emission, { query, key, value, scale, rank }: Parts): string {
  const { graph } = e;
  const turned = transposed(graph, key, rank === 3 ? [0, 2, 1] : [0, 1, 3, 2]);
  let scores = graph.node("MatMul", [query, turned]);
  if (scale !== 1) scores = graph.node("Mul", [scores, graph.number(scale)]);
  return weigh(e, scores, value);
}

/** softmax(scores) over v, with scores (batch, ..., T, S). */
function weigh(e: Emission, given: string, value: string): string {
  const { graph } = e;
  let scores = given;
  if (e.call.use_causal_mask === true || e.config.causal === true) {
    const [T, S] = stepsOf(e);
    const mask = Float32Array.from({ length: T * S }, (_, i) => (i % S > Math.floor(i / S) ? NEVER : 0));
    scores = graph.node("Add", [scores, graph.floats(mask, [T, S])]);
  }
  return graph.node("MatMul", [graph.node("Softmax", [scores], { axis: { int: -1 } }), value]);
}

/** (1, T, C), once for each sample of `like`, which is (batch, T, C). */
function forWholeBatch(graph: Graph, value: string, like: string): string {
  return graph.node("Expand", [value, graph.node("Shape", [like])]);
}
