import type { Shape, Tensor, Tensor3D } from "@tensorflow/tfjs";

export type Tf = typeof import("@tensorflow/tfjs");

/** A weight of a layer, which tfjs exports no type for. */
interface Weight {
  read(): Tensor;
}

const ATTENTION = "CausalSelfAttention";
const POSITIONS = "SinePositions";
const HIDDEN = -1e9; // a score that the softmax makes nothing of

/** One of the example's networks with the layers that tfjs lacks by the names of those that `registerLayers` gives it. */
export function inTfjs(topology: object): object {
  const { class_name, config } = topology as { class_name: string; config: { layers: Layer[] } };
  const layers = config.layers.map((layer) => {
    if (layer.class_name === "SinePositionEncoding") return { ...layer, class_name: POSITIONS };
    if (layer.class_name !== "MultiHeadAttention") return layer;
    const [[source]] = layer.inbound_nodes as [[[string]]];
    return { ...layer, class_name: ATTENTION, inbound_nodes: [[[source![0], 0, 0, {}]]] };
  });
  return { class_name, config: { ...config, layers } };
}

interface Layer {
  readonly class_name: string;
  readonly inbound_nodes?: unknown;
}

/** The layers that tfjs lacks, written as a user of tfjs would: on its own operations, with the gradients that it derives. */
export function registerLayers(tf: Tf): void {
  type Config = ConstructorParameters<typeof tf.layers.Layer>[0];
  const only = (inputs: Tensor | Tensor[]) => (Array.isArray(inputs) ? inputs[0]! : inputs) as Tensor3D;

  /** Scaled dot products of several heads, of a sequence with its own past. Weights as Keras' MultiHeadAttention has them. */
  class CausalSelfAttention extends tf.layers.Layer {
    static readonly className = ATTENTION;
    readonly #heads: number;
    readonly #size: number;
    readonly #weights = new Map<string, Weight>();

    constructor(config: Config) {
      super(config);
      const { numHeads, keyDim } = config as unknown as { numHeads: number; keyDim: number };
      this.#heads = numHeads;
      this.#size = keyDim;
    }

    override build(shape: Shape | Shape[]): void {
      const width = (shape as Shape).at(-1)!;
      const own = [this.#heads, this.#size];
      const add = (name: string, kernel: Shape, bias: Shape) => {
        const weight = (part: string, of: Shape) =>
          this.#weights.set(
            `${name}/${part}`,
            this.addWeight(`${name}/${part}`, of, "float32", tf.initializers.zeros()),
          );
        weight("kernel", kernel);
        weight("bias", bias);
      };
      for (const name of ["query", "key", "value"]) add(name, [width, ...own], own);
      add("attention_output", [...own, width], [width]);
      this.built = true;
    }

    override call(inputs: Tensor | Tensor[]): Tensor {
      return tf.tidy(() => {
        const x = only(inputs);
        const [batch, T, width] = x.shape;
        const inner = this.#heads * this.#size;
        // (batch, T, heads, size) -> (batch, heads, T, size)
        const heads = (name: string) =>
          this.#project(x.reshape([batch * T, width]), name, [width, inner])
            .reshape([batch, T, this.#heads, this.#size])
            .transpose([0, 2, 1, 3]);
        const scores = tf.matMul(heads("query"), heads("key"), false, true).div(Math.sqrt(this.#size));
        const future = tf.tensor2d(
          Float32Array.from({ length: T * T }, (_, i) => (i % T > Math.floor(i / T) ? HIDDEN : 0)),
          [T, T],
        );
        const attended = tf.matMul(tf.softmax(scores.add(future)), heads("value")).transpose([0, 2, 1, 3]);
        return this.#project(attended.reshape([batch * T, inner]), "attention_output", [
          inner,
          width,
        ]).reshape([batch, T, width]);
      });
    }

    #project(rows: Tensor, name: string, [from, to]: readonly [number, number]): Tensor {
      const kernel = this.#weights.get(`${name}/kernel`)!.read().reshape([from, to]);
      return tf.matMul(rows, kernel).add(this.#weights.get(`${name}/bias`)!.read().reshape([to]));
    }
  }

  /** sin(t / 10000^(c / C)) in the even channels c, the cosine of the one before in the odd. */
  class SinePositions extends tf.layers.Layer {
    static readonly className = POSITIONS;

    override call(inputs: Tensor | Tensor[]): Tensor {
      return tf.tidy(() => {
        const [batch, T, width] = only(inputs).shape;
        const rows = Array.from({ length: T }, (_, t) =>
          Array.from({ length: width / 2 }, (_, pair) => {
            const angle = t / 10_000 ** ((2 * pair) / width);
            return [Math.sin(angle), Math.cos(angle)];
          }).flat(),
        );
        return tf.tensor2d(rows).expandDims(0).tile([batch, 1, 1]);
      });
    }
  }

  for (const layer of [CausalSelfAttention, SinePositions])
    tf.serialization.registerClass(layer as unknown as Parameters<typeof tf.serialization.registerClass>[0]);
}
