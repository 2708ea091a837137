import { type GateActivation, gateActivation, gateAttributes } from "./activations.ts";
import { type Emission, type Emit, lacks, permuted, transposed, type Weight } from "./emit.ts";
import type { Graph } from "./graph.ts";

type Nested = { readonly class_name: string; readonly config: Readonly<Record<string, unknown>> };

const CELLS: Readonly<Record<string, string>> = {
  GRUCell: "GRU",
  LSTMCell: "LSTM",
  SimpleRNNCell: "SimpleRNN",
};

export const recurrent: Readonly<Record<string, Emit>> = {
  GRU: single,
  LSTM: single,
  SimpleRNN: single,
  RNN(e) {
    const cell = e.config.cell as Nested;
    return single({ ...e, className: CELLS[cell.class_name]!, config: { ...e.config, ...cell.config } });
  },
  Bidirectional(e) {
    const forward = e.config.layer as Nested;
    const given = e.config.backward_layer as Nested | null | undefined;
    const backwards = forward.config.go_backwards === true;
    const name = String(forward.config.name ?? forward.class_name.toLowerCase());
    const backward = given ?? {
      ...forward,
      config: { ...forward.config, name: name.replace(/^forward_/, ""), go_backwards: !backwards },
    };
    const [a, b] = [direction(e, forward, "forward_"), direction(e, backward, "backward_")];
    const sequences = e.outputShape.length === 2;
    const second = sequences ? turned(e.graph, b) : b;
    switch (e.config.merge_mode ?? "concat") {
      case "sum":
        return e.graph.node("Add", [a, second]);
      case "ave":
        return e.graph.node("Mean", [a, second]);
      case "mul":
        return e.graph.node("Mul", [a, second]);
      default:
        return e.graph.node("Concat", [a, second], { axis: { int: -1 } });
    }
  },
};

function direction(e: Emission, inner: Nested, prefix: string): string {
  // As bidirectional.ts names the weights.
  const name = String(inner.config.name ?? inner.class_name.toLowerCase());
  const own = name.startsWith(prefix) ? name : prefix + name;
  const { className, config } =
    inner.class_name === "RNN" ? unwrapped(inner) : { className: inner.class_name, config: inner.config };
  return single({ ...e, className, config, weight: (weight) => e.weight(`${own}/${weight}`) });
}

function unwrapped({ config }: Nested) {
  const cell = config.cell as Nested;
  return { className: CELLS[cell.class_name]!, config: { ...config, ...cell.config } };
}

/**
 * One direction: (batch, steps, H) in the order in which the steps are taken, or (batch, H) of the last. ONNX has time first, one axis for the
 * directions, kernels turned (gates H, channels), and its own order of gates.
 */
function single(e: Emission): string {
  const { graph, config } = e;
  const [kernel, recurrentKernel] = [e.weight("kernel")!, e.weight("recurrent_kernel")!];
  const H = recurrentKernel.shape[0]!;
  const backwards = config.go_backwards === true;
  const { op, order, gates, extra } = operatorOf(e);
  const weight = (from: Weight) => {
    const { shape, values } = permuted(gatesIn(from, order, H), [1, 0]);
    return graph.floats(values, [1, ...shape]);
  };
  const [sequence, last] = graph.nodes(
    op,
    [
      transposed(graph, e.inputs[0]!, [1, 0, 2]),
      weight(kernel),
      weight(recurrentKernel),
      graph.floats(biasOf(e, order, H), [1, 2 * order.length * H]),
    ],
    2,
    {
      hidden_size: { int: H },
      direction: { text: backwards ? "reverse" : "forward" },
      ...gateAttributes(gates),
      ...extra,
    },
  );
  if (config.return_sequences !== true) return graph.node("Squeeze", [last!, graph.ints([0])]);
  const steps = transposed(graph, graph.node("Squeeze", [sequence!, graph.ints([1])]), [1, 0, 2]);
  // ONNX gives the steps of a reversed sequence in the input's order, Keras in the order in which they were taken.
  return backwards ? turned(graph, steps) : steps;
}

interface Operator {
  readonly op: string;
  /** Place i of ONNX's gates has the engine's gate order[i]. */
  readonly order: readonly number[];
  readonly gates: readonly GateActivation[];
  readonly extra: Readonly<Record<string, { readonly int: number }>>;
}

function operatorOf(e: Emission): Operator {
  const act = gateActivation(e, e.config.activation, "tanh");
  const gate = () => gateActivation(e, e.config.recurrent_activation, "sigmoid");
  switch (e.className) {
    case "GRU": {
      const after = e.config.reset_after === true ? 1 : 0;
      return {
        op: "GRU",
        order: [0, 1, 2],
        gates: [gate(), act],
        extra: { linear_before_reset: { int: after } },
      };
    }
    case "LSTM":
      // i, f, c, o -> i, o, f, c
      return { op: "LSTM", order: [0, 3, 1, 2], gates: [gate(), act, act], extra: {} };
    case "SimpleRNN":
      return { op: "RNN", order: [0], gates: [act], extra: {} };
    default:
      throw lacks(e, `a recurrent layer of ${e.className}`);
  }
}

/** (rows, gates H), the gates in ONNX's order. */
function gatesIn({ shape, values }: Weight, order: readonly number[], H: number): Weight {
  const [rows, columns] = shape as [number, number];
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++)
    order.forEach((gate, place) => {
      const from = row * columns + gate * H;
      out.set(values.subarray(from, from + H), row * columns + place * H);
    });
  return { shape, values: out };
}

/** The input's bias and the recurrent one, one behind the other; the engine has the second for a GRU that resets after alone. */
function biasOf(e: Emission, order: readonly number[], H: number): Float32Array {
  const size = order.length * H;
  const out = new Float32Array(2 * size);
  const bias = e.weight("bias");
  if (bias === undefined) return out;
  const rows = bias.values.length / size;
  out.set(gatesIn({ shape: [rows, size], values: bias.values }, order, H).values);
  return out;
}

/** (batch, steps, channels), the last step first. */
function turned(graph: Graph, value: string): string {
  const beforeAll = -(2n ** 63n);
  return graph.node("Slice", [
    value,
    graph.ints([-1]),
    graph.ints([beforeAll]),
    graph.ints([1]),
    graph.ints([-1]),
  ]);
}
