import type { LayerKind } from "./layer.ts";

export type LayerKinds = ReadonlyMap<string, LayerKind>;

/**
 * Every layer that the engine has, by the class name of a topology. Its file is loaded when a topology asks for it, so that what a device holds does
 * not grow with what others use. A layer that holds any other one finds it in `kinds`.
 */
const LAYERS: Readonly<Record<string, (kinds: LayerKinds) => Promise<LayerKind>>> = {
  Activation: async () => (await import("./activation.ts")).activation,
  Add: async () => (await import("./merge.ts")).add,
  AdditiveAttention: async () => (await import("./additive-attention.ts")).additiveAttention,
  AlphaDropout: async () => (await import("./dropout.ts")).alphaDropout,
  Attention: async () => (await import("./attention.ts")).attention,
  Average: async () => (await import("./merge.ts")).average,
  AveragePooling1D: async () => (await import("./pooling.ts")).averagePooling1d,
  AveragePooling2D: async () => (await import("./pooling.ts")).averagePooling2d,
  AvgPool1D: async () => (await import("./pooling.ts")).averagePooling1d,
  AvgPool2D: async () => (await import("./pooling.ts")).averagePooling2d,
  BatchNormalization: async () => (await import("./batch-normalization.ts")).batchNormalization,
  Bidirectional: async () => (await import("./bidirectional.ts")).bidirectional,
  Concatenate: async () => (await import("./concatenate.ts")).concatenate,
  Conv1D: async () => (await import("./conv.ts")).conv1d,
  Conv1DTranspose: async () => (await import("./conv-transpose.ts")).conv1dTranspose,
  Conv2D: async () => (await import("./conv.ts")).conv2d,
  Conv2DTranspose: async () => (await import("./conv-transpose.ts")).conv2dTranspose,
  Cropping1D: async () => (await import("./padding.ts")).cropping1d,
  Cropping2D: async () => (await import("./padding.ts")).cropping2d,
  Dense: async () => (await import("./dense.ts")).dense,
  DepthwiseConv1D: async () => (await import("./depthwise-conv.ts")).depthwiseConv1d,
  DepthwiseConv2D: async () => (await import("./depthwise-conv.ts")).depthwiseConv2d,
  Dot: async () => (await import("./dot.ts")).dot,
  Dropout: async () => (await import("./dropout.ts")).dropout,
  ELU: async () => (await import("./rectifiers.ts")).eluLayer,
  Embedding: async () => (await import("./embedding.ts")).embedding,
  Flatten: async () => (await import("./reshape.ts")).flatten,
  GRU: async () => (await import("./gru.ts")).gru,
  GaussianDropout: async () => (await import("./dropout.ts")).gaussianDropout,
  GaussianNoise: async () => (await import("./dropout.ts")).gaussianNoise,
  GlobalAveragePooling1D: async () => (await import("./global-pooling.ts")).globalAveragePooling1d,
  GlobalAveragePooling2D: async () => (await import("./global-pooling.ts")).globalAveragePooling2d,
  GlobalAvgPool1D: async () => (await import("./global-pooling.ts")).globalAveragePooling1d,
  GlobalAvgPool2D: async () => (await import("./global-pooling.ts")).globalAveragePooling2d,
  GlobalMaxPool1D: async () => (await import("./global-pooling.ts")).globalMaxPooling1d,
  GlobalMaxPool2D: async () => (await import("./global-pooling.ts")).globalMaxPooling2d,
  GlobalMaxPooling1D: async () => (await import("./global-pooling.ts")).globalMaxPooling1d,
  GlobalMaxPooling2D: async () => (await import("./global-pooling.ts")).globalMaxPooling2d,
  LSTM: async () => (await import("./lstm.ts")).lstm,
  LayerNormalization: async () => (await import("./layer-normalization.ts")).layerNormalization,
  LeakyReLU: async () => (await import("./rectifiers.ts")).leakyRelu,
  Masking: async () => (await import("./masking.ts")).masking,
  MaxPool1D: async () => (await import("./pooling.ts")).maxPooling1d,
  MaxPool2D: async () => (await import("./pooling.ts")).maxPooling2d,
  MaxPooling1D: async () => (await import("./pooling.ts")).maxPooling1d,
  MaxPooling2D: async () => (await import("./pooling.ts")).maxPooling2d,
  Maximum: async () => (await import("./merge.ts")).maximum,
  Minimum: async () => (await import("./merge.ts")).minimum,
  MultiHeadAttention: async () => (await import("./multi-head-attention.ts")).multiHeadAttention,
  Multiply: async () => (await import("./merge.ts")).multiply,
  PReLU: async () => (await import("./prelu.ts")).prelu,
  Permute: async () => (await import("./permute.ts")).permute,
  PositionEmbedding: async () => (await import("./position.ts")).positionEmbedding,
  RNN: async () => (await import("./rnn.ts")).rnn,
  ReLU: async () => (await import("./rectifiers.ts")).relu,
  RepeatVector: async () => (await import("./repeat-vector.ts")).repeatVector,
  Reshape: async () => (await import("./reshape.ts")).reshape,
  SeparableConv1D: async () => (await import("./separable-conv.ts")).separableConv1d,
  SeparableConv2D: async () => (await import("./separable-conv.ts")).separableConv2d,
  SimpleRNN: async () => (await import("./simple-rnn.ts")).simpleRnn,
  SinePositionEncoding: async () => (await import("./position.ts")).sinePositionEncoding,
  Softmax: async () => (await import("./softmax.ts")).softmax,
  SpatialDropout1D: async () => (await import("./dropout.ts")).spatialDropout1D,
  SpatialDropout2D: async () => (await import("./dropout.ts")).spatialDropout2D,
  Subtract: async () => (await import("./merge.ts")).subtract,
  ThresholdedReLU: async () => (await import("./rectifiers.ts")).thresholdedRelu,
  TimeDistributed: async (kinds) =>
    (await import("./time-distributed.ts")).timeDistributed((className) => kinds.get(className)),
  UpSampling1D: async () => (await import("./upsampling.ts")).upSampling1d,
  UpSampling2D: async () => (await import("./upsampling.ts")).upSampling2d,
  ZeroPadding1D: async () => (await import("./padding.ts")).zeroPadding1d,
  ZeroPadding2D: async () => (await import("./padding.ts")).zeroPadding2d,
};

export const layerNames: readonly string[] = Object.keys(LAYERS);

/** Those of `names` that the engine has. */
export async function loadLayerKinds(names: Iterable<string>): Promise<LayerKinds> {
  const kinds = new Map<string, LayerKind>();
  for (const name of new Set(names))
    if (Object.hasOwn(LAYERS, name)) kinds.set(name, await LAYERS[name]!(kinds));
  return kinds;
}
