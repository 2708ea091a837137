// What is used of TensorFlow.js: `@tensorflow/tfjs-node`, or any other build of it that is given.

export interface TfTensor {
  readonly shape: readonly number[];
  dataSync(): Float32Array;
  dispose(): void;
}

export interface TfVariable extends TfTensor {
  readonly name: string;
  assign(value: TfTensor): void;
}

/** A weight of a layer. */
export interface TfWeight {
  /** layer/weight. */
  readonly originalName: string;
  readonly shape: readonly (number | null)[];
  /** What has to hold after each step; tfjs leaves it to its caller. */
  readonly constraint: { apply(weight: TfTensor): TfTensor } | null;
  /** The variable itself. */
  read(): TfTensor;
}

export interface TfLayer {
  readonly name: string;
  readonly weights: readonly TfWeight[];
  readonly trainableWeights: readonly TfWeight[];
  /** Of a model in the place of a layer. */
  readonly layers?: readonly TfLayer[];
}

interface Symbol_ {
  readonly name: string;
  readonly sourceLayer: { readonly name: string; getConfig(): { readonly activation?: unknown } };
  readonly shape: readonly (number | null)[];
}

export interface TfModel extends TfLayer {
  readonly name: string;
  readonly layers: readonly TfLayer[];
  readonly inputs: readonly Symbol_[];
  readonly outputs: readonly Symbol_[];
  /** `inputs`: a tensor, or one for each input. */
  apply(inputs: TfTensor | TfTensor[], options: { training: boolean }): unknown;
  /** The penalties of L1 and L2. */
  calculateLosses(): TfTensor[];
  summary(lineLength: number, positions: undefined, print: (line: string) => void): void;
  dispose(): unknown;
}

export interface TfOptimizer {
  /** By the name of the variable. */
  applyGradients(gradients: Record<string, TfTensor>): void;
  dispose(): void;
}

type Operand = TfTensor | number;

/**
 * Any build of tfjs, as it is given to `compile`. Its own types take its own classes alone, so it is known by a few functions and used as `Tf`, which
 * says all that is needed of it.
 */
export interface TfLike {
  readonly models: { modelFromJSON(json: never): Promise<unknown> };
  variableGrads(loss: never, variables: never): unknown;
  tidy(run: never): unknown;
}

export interface Tf extends TfLike {
  readonly models: { modelFromJSON(json: object): Promise<TfModel> };
  readonly train: {
    sgd(rate: number): TfOptimizer;
    momentum(rate: number, momentum: number, nesterov: boolean): TfOptimizer;
    adam(rate: number, beta1: number, beta2: number, epsilon: number): TfOptimizer;
    rmsprop(rate: number, decay: number, momentum: number, epsilon: number): TfOptimizer;
    adagrad(rate: number, initial: number): TfOptimizer;
  };
  tidy(run: () => void): void;
  keep(tensor: TfTensor): TfTensor;
  dispose(tensors: readonly TfTensor[]): void;
  tensor(values: Float32Array, shape: number[]): TfTensor;
  variableGrads(
    loss: () => TfTensor,
    variables: TfVariable[],
  ): { value: TfTensor; grads: Record<string, TfTensor> };
  abs(x: TfTensor): TfTensor;
  add(a: Operand, b: Operand): TfTensor;
  clipByValue(x: TfTensor, low: number, high: number): TfTensor;
  div(a: Operand, b: Operand): TfTensor;
  log(x: TfTensor): TfTensor;
  logSoftmax(x: TfTensor, axis: number): TfTensor;
  maximum(a: Operand, b: Operand): TfTensor;
  minimum(a: Operand, b: Operand): TfTensor;
  mul(a: Operand, b: Operand): TfTensor;
  neg(x: TfTensor): TfTensor;
  relu(x: TfTensor): TfTensor;
  reshape(x: TfTensor, shape: number[]): TfTensor;
  softplus(x: TfTensor): TfTensor;
  sqrt(x: TfTensor): TfTensor;
  square(x: TfTensor): TfTensor;
  sub(a: Operand, b: Operand): TfTensor;
  sum(x: TfTensor, axis?: number, keepDims?: boolean): TfTensor;
}
