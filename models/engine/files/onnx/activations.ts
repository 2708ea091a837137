import { Activation, CURVES, type Curve } from "../../activations.ts";
import { RECTIFIERS } from "../../layers/rectifiers.ts";
import { type Emission, type Emit, lacks, weightOf } from "./emit.ts";
import type { Attributes, Graph } from "./graph.ts";

export const activations: Readonly<Record<string, Emit>> = {
  Activation: (e) => activate(e, e.inputs[0]!),
  ...Object.fromEntries(
    Object.entries(RECTIFIERS).map(([name, specOf]): [string, Emit] => [
      name,
      (e) => activateBy(e.graph, specOf(e), e.inputs[0]!),
    ]),
  ),
  Softmax: ({ graph, inputs }) => graph.node("Softmax", inputs, LAST),
  PReLU(e) {
    // alpha has the sample's rank: it is repeated along the batch and the axes where it is 1 long.
    const { values, shape } = weightOf(e, "alpha");
    return e.graph.node("PRelu", [e.inputs[0]!, e.graph.floats(values, shape)]);
  },
};

const LAST = { axis: { int: -1 } } as const;

/** The layer's `activation` option behind a value. */
export function activate(e: Emission, value: string): string {
  return activateBy(e.graph, Activation.parse(e.config.activation), value);
}

function activateBy(graph: Graph, spec: Activation, x: string): string {
  if (spec.kind === "curve") return curve(graph, spec, x);
  switch (spec.name) {
    case "linear":
      return x;
    case "relu":
      return graph.node("Relu", [x]);
    case "tanh":
      return graph.node("Tanh", [x]);
    case "sigmoid":
      return graph.node("Sigmoid", [x]);
    case "hard_sigmoid":
      return graph.node("HardSigmoid", [x], { alpha: { float: 0.2 }, beta: { float: 0.5 } });
    case "hard_sigmoid_3":
      return graph.node("HardSigmoid", [x], { alpha: { float: 1 / 6 }, beta: { float: 0.5 } });
    case "relu6":
      return graph.node("Clip", [x, graph.number(0), graph.number(6)]);
    case "exponential":
      return graph.node("Exp", [x]);
    case "softmax":
      return graph.node("Softmax", [x], LAST);
    case "log_softmax":
      return graph.node("LogSoftmax", [x], LAST);
  }
}

function curve(graph: Graph, { code, parameters: [a, b, c] }: Curve, x: string): string {
  const times = (p: string, q: string) => graph.node("Mul", [p, q]);
  const plus = (p: string, q: string) => graph.node("Add", [p, q]);
  switch (code) {
    case CURVES.rectifier: {
      const threshold = graph.number(b);
      const below = times(graph.node("Sub", [x, threshold]), graph.number(a));
      const bent = graph.node("Where", [graph.node("Greater", [x, threshold]), x, below]);
      return c === Number.POSITIVE_INFINITY ? bent : graph.node("Min", [bent, graph.number(c)]);
    }
    case CURVES.elu:
      return graph.node("Selu", [x], { alpha: { float: a }, gamma: { float: b } });
    case CURVES.gelu: {
      const erf = graph.node("Erf", [times(x, graph.number(Math.SQRT1_2))]);
      return times(times(x, graph.number(0.5)), plus(erf, graph.number(1)));
    }
    case CURVES.gelu_tanh: {
      const cube = times(times(x, x), x);
      const inner = plus(x, times(cube, graph.number(0.044715)));
      const tanh = graph.node("Tanh", [times(inner, graph.number(Math.sqrt(2 / Math.PI)))]);
      return times(times(x, graph.number(0.5)), plus(tanh, graph.number(1)));
    }
    case CURVES.softplus:
      return graph.node("Softplus", [x]);
    case CURVES.softsign:
      return graph.node("Softsign", [x]);
    case CURVES.swish:
      return times(x, graph.node("Sigmoid", [x]));
    case CURVES.mish:
      return times(x, graph.node("Tanh", [graph.node("Softplus", [x])]));
    default:
      return graph.node("HardSwish", [x]);
  }
}

/** An activation as the recurrent operators of ONNX name it, with the numbers that it takes. */
export interface GateActivation {
  readonly name: string;
  readonly alpha?: number;
  readonly beta?: number;
}

/** Throws UNSUPPORTED for one that the operators lack. */
export function gateActivation(e: Emission, option: unknown, fallback: string): GateActivation {
  const spec = Activation.parse(option ?? fallback);
  switch (spec.name) {
    case "linear":
      return { name: "Affine", alpha: 1, beta: 0 };
    case "relu":
      return { name: "Relu" };
    case "tanh":
      return { name: "Tanh" };
    case "sigmoid":
      return { name: "Sigmoid" };
    case "hard_sigmoid":
      return { name: "HardSigmoid", alpha: 0.2, beta: 0.5 };
    case "hard_sigmoid_3":
      return { name: "HardSigmoid", alpha: 1 / 6, beta: 0.5 };
    default:
      throw lacks(e, `${spec.name} inside a recurrent layer`);
  }
}

export function gateAttributes(gates: readonly GateActivation[]): Attributes {
  const alphas = gates.flatMap(({ alpha }) => alpha ?? []);
  const betas = gates.flatMap(({ beta }) => beta ?? []);
  return {
    activations: { texts: gates.map(({ name }) => name) },
    ...(alphas.length > 0 && { activation_alpha: { floats: alphas } }),
    ...(betas.length > 0 && { activation_beta: { floats: betas } }),
  };
}
