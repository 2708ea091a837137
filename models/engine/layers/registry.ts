import { activation } from "./activation.ts";
import { additiveAttention } from "./additive-attention.ts";
import { attention } from "./attention.ts";
import { batchNormalization } from "./batch-normalization.ts";
import { bidirectional } from "./bidirectional.ts";
import { concatenate } from "./concatenate.ts";
import { conv1d, conv2d } from "./conv.ts";
import { conv1dTranspose, conv2dTranspose } from "./conv-transpose.ts";
import { dense } from "./dense.ts";
import { depthwiseConv1d, depthwiseConv2d } from "./depthwise-conv.ts";
import { dot } from "./dot.ts";
import {
  alphaDropout,
  dropout,
  gaussianDropout,
  gaussianNoise,
  spatialDropout1D,
  spatialDropout2D,
} from "./dropout.ts";
import { embedding } from "./embedding.ts";
import {
  globalAveragePooling1d,
  globalAveragePooling2d,
  globalMaxPooling1d,
  globalMaxPooling2d,
} from "./global-pooling.ts";
import { gru } from "./gru.ts";
import type { LayerKind } from "./layer.ts";
import { layerNormalization } from "./layer-normalization.ts";
import { lstm } from "./lstm.ts";
import { masking } from "./masking.ts";
import { add, average, maximum, minimum, multiply, subtract } from "./merge.ts";
import { multiHeadAttention } from "./multi-head-attention.ts";
import { cropping1d, cropping2d, zeroPadding1d, zeroPadding2d } from "./padding.ts";
import { permute } from "./permute.ts";
import { averagePooling1d, averagePooling2d, maxPooling1d, maxPooling2d } from "./pooling.ts";
import { positionEmbedding, sinePositionEncoding } from "./position.ts";
import { prelu } from "./prelu.ts";
import { eluLayer, leakyRelu, relu, thresholdedRelu } from "./rectifiers.ts";
import { repeatVector } from "./repeat-vector.ts";
import { flatten, reshape } from "./reshape.ts";
import { rnn } from "./rnn.ts";
import { separableConv1d, separableConv2d } from "./separable-conv.ts";
import { simpleRnn } from "./simple-rnn.ts";
import { softmax } from "./softmax.ts";
import { timeDistributed } from "./time-distributed.ts";
import { upSampling1d, upSampling2d } from "./upsampling.ts";

/** Every layer that the engine has, by the class name of a topology. */
export const layerKinds: ReadonlyMap<string, LayerKind> = new Map([
  ["Activation", activation],
  ["Add", add],
  ["AdditiveAttention", additiveAttention],
  ["AlphaDropout", alphaDropout],
  ["Attention", attention],
  ["Average", average],
  ["AveragePooling1D", averagePooling1d],
  ["AveragePooling2D", averagePooling2d],
  ["AvgPool1D", averagePooling1d],
  ["AvgPool2D", averagePooling2d],
  ["BatchNormalization", batchNormalization],
  ["Bidirectional", bidirectional],
  ["Concatenate", concatenate],
  ["Conv1D", conv1d],
  ["Conv1DTranspose", conv1dTranspose],
  ["Conv2D", conv2d],
  ["Conv2DTranspose", conv2dTranspose],
  ["Cropping1D", cropping1d],
  ["Cropping2D", cropping2d],
  ["Dense", dense],
  ["DepthwiseConv1D", depthwiseConv1d],
  ["DepthwiseConv2D", depthwiseConv2d],
  ["Dot", dot],
  ["Dropout", dropout],
  ["ELU", eluLayer],
  ["Embedding", embedding],
  ["Flatten", flatten],
  ["GRU", gru],
  ["GaussianDropout", gaussianDropout],
  ["GaussianNoise", gaussianNoise],
  ["GlobalAveragePooling1D", globalAveragePooling1d],
  ["GlobalAveragePooling2D", globalAveragePooling2d],
  ["GlobalAvgPool1D", globalAveragePooling1d],
  ["GlobalAvgPool2D", globalAveragePooling2d],
  ["GlobalMaxPool1D", globalMaxPooling1d],
  ["GlobalMaxPool2D", globalMaxPooling2d],
  ["GlobalMaxPooling1D", globalMaxPooling1d],
  ["GlobalMaxPooling2D", globalMaxPooling2d],
  ["LSTM", lstm],
  ["LayerNormalization", layerNormalization],
  ["LeakyReLU", leakyRelu],
  ["Masking", masking],
  ["MaxPool1D", maxPooling1d],
  ["MaxPool2D", maxPooling2d],
  ["MaxPooling1D", maxPooling1d],
  ["MaxPooling2D", maxPooling2d],
  ["Maximum", maximum],
  ["Minimum", minimum],
  ["MultiHeadAttention", multiHeadAttention],
  ["Multiply", multiply],
  ["PReLU", prelu],
  ["Permute", permute],
  ["PositionEmbedding", positionEmbedding],
  ["RNN", rnn],
  ["ReLU", relu],
  ["RepeatVector", repeatVector],
  ["Reshape", reshape],
  ["SeparableConv1D", separableConv1d],
  ["SeparableConv2D", separableConv2d],
  ["SimpleRNN", simpleRnn],
  ["SinePositionEncoding", sinePositionEncoding],
  ["Softmax", softmax],
  ["SpatialDropout1D", spatialDropout1D],
  ["SpatialDropout2D", spatialDropout2D],
  ["Subtract", subtract],
  ["ThresholdedReLU", thresholdedRelu],
  ["TimeDistributed", timeDistributed((className) => layerKinds.get(className))],
  ["UpSampling1D", upSampling1d],
  ["UpSampling2D", upSampling2d],
  ["ZeroPadding1D", zeroPadding1d],
  ["ZeroPadding2D", zeroPadding2d],
]);
