import type { Shape, Tensor, Tensor3D, Tensor4D } from "@tensorflow/tfjs";

export type Tf = typeof import("@tensorflow/tfjs");

/** A weight of a layer, which tfjs exports no type for. */
interface Weight {
  read(): Tensor;
}

/** As in the topology, its names turned into tfjs' own manner. */
interface TransposeConfig {
  readonly filters: number;
  readonly kernelSize: readonly number[];
  readonly strides: readonly number[];
  readonly activation: string;
}

/**
 * The layers that tfjs lacks or has in a poor form, written as a user of tfjs would: on its own operations, with the gradients that it derives. They read
 * the same topology as our engine.
 */
export function registerLayers(tf: Tf): void {
  /** One dimension as two, of which the first is 1: what tfjs' own Conv1D does. */
  class Conv1DTranspose extends tf.layers.Layer {
    static readonly className = "Conv1DTranspose";
    readonly #config: TransposeConfig;
    #kernel!: Weight;
    #bias!: Weight;

    constructor(config: ConstructorParameters<typeof tf.layers.Layer>[0]) {
      super(config);
      this.#config = config as unknown as TransposeConfig;
    }

    override build(shape: Shape | Shape[]): void {
      const channels = (shape as Shape).at(-1)!;
      const { filters, kernelSize } = this.#config;
      const uniform = tf.initializers.glorotUniform({});
      this.#kernel = this.addWeight("kernel", [1, kernelSize[0]!, filters, channels], "float32", uniform);
      this.#bias = this.addWeight("bias", [filters], "float32", tf.initializers.zeros());
      this.built = true;
    }

    override computeOutputShape(shape: Shape | Shape[]): Shape {
      const [batch, width] = shape as Shape;
      return [batch!, width! * this.#config.strides[0]!, this.#config.filters];
    }

    override call(inputs: Tensor | Tensor[]): Tensor {
      return tf.tidy(() => {
        const x = (Array.isArray(inputs) ? inputs[0]! : inputs) as Tensor3D;
        const { strides, filters, activation } = this.#config;
        const width = x.shape[1] * strides[0]!;
        const wide = tf.conv2dTranspose(
          x.expandDims(1) as Tensor4D,
          this.#kernel.read() as Tensor4D,
          [x.shape[0], 1, width, filters],
          [1, strides[0]!],
          "same",
        );
        const y = wide.squeeze([1]).add(this.#bias.read());
        return activation === "relu" ? y.relu() : y;
      });
    }
  }

  /** Scaled dot products of several heads; inputs are query and value, and the key is the value. */
  class MultiHeadAttention extends tf.layers.Layer {
    static readonly className = "MultiHeadAttention";
    readonly #heads: number;
    readonly #keyDim: number;
    readonly #weights = new Map<string, Weight>();

    constructor(config: ConstructorParameters<typeof tf.layers.Layer>[0]) {
      super(config);
      const { numHeads, keyDim } = config as unknown as { numHeads: number; keyDim: number };
      this.#heads = numHeads;
      this.#keyDim = keyDim;
    }

    override build(shapes: Shape | Shape[]): void {
      const width = (shapes as Shape[])[0]!.at(-1)!;
      const inner = this.#heads * this.#keyDim;
      for (const [name, from, to] of [
        ["query", width, inner],
        ["key", width, inner],
        ["value", width, inner],
        ["output", inner, width],
      ] as const) {
        const uniform = tf.initializers.glorotUniform({});
        this.#weights.set(`${name}/kernel`, this.addWeight(`${name}/kernel`, [from, to], "float32", uniform));
        this.#weights.set(
          `${name}/bias`,
          this.addWeight(`${name}/bias`, [to], "float32", tf.initializers.zeros()),
        );
      }
      this.built = true;
    }

    override computeOutputShape(shapes: Shape | Shape[]): Shape {
      return (shapes as Shape[])[0]!;
    }

    override call(inputs: Tensor | Tensor[]): Tensor {
      return tf.tidy(() => {
        const [query, value] = inputs as Tensor3D[];
        const [batch, window, width] = query!.shape;
        const project = (x: Tensor, name: string, from: number) =>
          tf
            .matMul(x.reshape([batch * window, from]), this.#weights.get(`${name}/kernel`)!.read())
            .add(this.#weights.get(`${name}/bias`)!.read());
        const heads = (x: Tensor, name: string) =>
          project(x, name, width).reshape([batch, window, this.#heads, this.#keyDim]).transpose([0, 2, 1, 3]);
        const scores = tf
          .matMul(heads(query!, "query"), heads(value!, "key"), false, true)
          .mul(1 / Math.sqrt(this.#keyDim));
        // (batch, heads, window, keyDim) -> (batch * window, heads * keyDim)
        const attended = tf.matMul(tf.softmax(scores), heads(value!, "value")).transpose([0, 2, 1, 3]);
        return project(attended, "output", this.#heads * this.#keyDim).reshape([batch, window, width]);
      });
    }
  }

  /** Over the last axis. tfjs has one, but the gradient of its broadcasting is a loop over slices: with it the mini-transformer trained ten times as slowly. */
  class LayerNormalization extends tf.layers.Layer {
    static readonly className = "LayerNormalization";
    readonly #epsilon: number;
    #gamma!: Weight;
    #beta!: Weight;

    constructor(config: ConstructorParameters<typeof tf.layers.Layer>[0]) {
      super(config);
      this.#epsilon = (config as unknown as { readonly epsilon: number }).epsilon;
    }

    override build(shape: Shape | Shape[]): void {
      const width = (shape as Shape).at(-1)!;
      this.#gamma = this.addWeight("gamma", [width], "float32", tf.initializers.ones());
      this.#beta = this.addWeight("beta", [width], "float32", tf.initializers.zeros());
      this.built = true;
    }

    override call(inputs: Tensor | Tensor[]): Tensor {
      return tf.tidy(() => {
        const x = Array.isArray(inputs) ? inputs[0]! : inputs;
        const { mean, variance } = tf.moments(x, -1, true);
        const scaled = x.sub(mean).mul(variance.add(this.#epsilon).rsqrt());
        return scaled.mul(this.#gamma.read()).add(this.#beta.read());
      });
    }
  }

  for (const layer of [Conv1DTranspose, LayerNormalization, MultiHeadAttention])
    tf.serialization.registerClass(layer as unknown as Parameters<typeof tf.serialization.registerClass>[0]);
}
