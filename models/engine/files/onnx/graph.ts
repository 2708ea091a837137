import { type Shape, sizeOf } from "../../shape.ts";
import { type Message, message } from "./protobuf.ts";

// The fields of onnx.proto3 that are written, by their numbers. Source: github.com/onnx/onnx, onnx/onnx.proto3, IR version 8.

const IR_VERSION = 8;
/** The first that has LayerNormalization. */
const OPSET = 17;
const FLOAT = 1;
const INT64 = 7;
const ATTRIBUTE = { float: 1, int: 2, text: 3, floats: 6, ints: 7, texts: 8 } as const;

/** `int` and so on, as ONNX types them; a plain number is a float attribute only where the name says so. */
export type Attribute =
  | { readonly int: number }
  | { readonly float: number }
  | { readonly text: string }
  | { readonly ints: readonly number[] }
  | { readonly floats: readonly number[] }
  | { readonly texts: readonly string[] };
export type Attributes = Readonly<Record<string, Attribute>>;

/** A graph being written. Values are known by their names; "" is an input that is left out. */
export interface Graph {
  /** A node with one output: gives its name. */
  node(op: string, inputs: readonly string[], attributes?: Attributes): string;
  /** A node with several. */
  nodes(op: string, inputs: readonly string[], count: number, attributes?: Attributes): string[];
  /** A tensor of floats that is part of the file. */
  floats(values: ArrayLike<number>, shape: Shape): string;
  ints(values: readonly (number | bigint)[]): string;
  number(value: number): string;
  input(name: string, shape: Shape): void;
  output(name: string, value: string, shape: Shape): void;
  finish(name: string): Uint8Array;
}

export function createGraph(): Graph {
  const nodes: Message[] = [];
  const initializers: Message[] = [];
  const inputs: Message[] = [];
  const outputs: Message[] = [];
  let count = 0;
  // A slash stands in no name that comes from outside and could be taken for one of these: those are inputs and outputs alone.
  const fresh = (kind: string) => `starling/${kind.toLowerCase()}_${count++}`;

  const append = (
    op: string,
    from: readonly string[],
    to: readonly string[],
    attributes: Attributes = {},
  ) => {
    const node = message();
    for (const name of from) node.text(1, name);
    for (const name of to) node.text(2, name);
    node.text(3, to[0]!).text(4, op);
    for (const [name, attribute] of Object.entries(attributes)) node.message(5, attributeOf(name, attribute));
    nodes.push(node);
  };
  const tensor = (type: number, shape: Shape, raw: Uint8Array) => {
    const name = fresh("constant");
    const proto = message();
    for (const size of shape) proto.int(1, size);
    initializers.push(proto.int(2, type).text(8, name).bytes(9, raw));
    return name;
  };

  const graph: Graph = {
    node(op, from, attributes) {
      const name = fresh(op);
      append(op, from, [name], attributes);
      return name;
    },
    nodes(op, from, size, attributes) {
      const names = Array.from({ length: size }, () => fresh(op));
      append(op, from, names, attributes);
      return names;
    },
    floats(values, shape) {
      const raw = new Uint8Array(sizeOf(shape) * 4);
      const view = new DataView(raw.buffer);
      for (let i = 0; i < sizeOf(shape); i++) view.setFloat32(i * 4, values[i]!, true);
      return tensor(FLOAT, shape, raw);
    },
    ints(values) {
      const raw = new Uint8Array(values.length * 8);
      const view = new DataView(raw.buffer);
      values.forEach((value, i) => {
        view.setBigInt64(i * 8, BigInt(value), true);
      });
      return tensor(INT64, [values.length], raw);
    },
    number: (value) => graph.floats([value], []),
    input(name, shape) {
      inputs.push(valueInfo(name, shape));
    },
    output(name, value, shape) {
      append("Identity", [value], [name]);
      outputs.push(valueInfo(name, shape));
    },
    finish(name) {
      const proto = message();
      for (const node of nodes) proto.message(1, node);
      proto.text(2, name);
      for (const initializer of initializers) proto.message(5, initializer);
      for (const input of inputs) proto.message(11, input);
      for (const output of outputs) proto.message(12, output);
      return message()
        .int(1, IR_VERSION)
        .text(2, "Starling")
        .message(7, proto)
        .message(8, message().text(1, "").int(2, OPSET))
        .finish();
    },
  };
  return graph;
}

function attributeOf(name: string, attribute: Attribute): Message {
  const proto = message().text(1, name);
  if ("float" in attribute) return proto.float(2, attribute.float).int(20, ATTRIBUTE.float);
  if ("int" in attribute) return proto.int(3, attribute.int).int(20, ATTRIBUTE.int);
  if ("text" in attribute) return proto.text(4, attribute.text).int(20, ATTRIBUTE.text);
  if ("floats" in attribute) {
    for (const value of attribute.floats) proto.float(7, value);
    return proto.int(20, ATTRIBUTE.floats);
  }
  if ("ints" in attribute) {
    for (const value of attribute.ints) proto.int(8, value);
    return proto.int(20, ATTRIBUTE.ints);
  }
  for (const value of attribute.texts) proto.text(9, value);
  return proto.int(20, ATTRIBUTE.texts);
}

/** (batch, ...shape), the batch left open. */
function valueInfo(name: string, shape: Shape): Message {
  const dimensions = message().message(1, message().text(2, "batch"));
  for (const size of shape) dimensions.message(1, message().int(1, size));
  const tensor = message().int(1, FLOAT).message(2, dimensions);
  return message().text(1, name).message(2, message().message(1, tensor));
}
