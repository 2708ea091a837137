import { activation } from "./activation.ts";
import { dense } from "./dense.ts";
import {
  alphaDropout,
  dropout,
  gaussianDropout,
  gaussianNoise,
  spatialDropout1D,
  spatialDropout2D,
} from "./dropout.ts";
import { gru } from "./gru.ts";
import type { LayerKind } from "./layer.ts";
import { lstm } from "./lstm.ts";
import { prelu } from "./prelu.ts";
import { elu, leakyRelu, relu, thresholdedRelu } from "./rectifiers.ts";
import { simpleRnn } from "./simple-rnn.ts";
import { softmax } from "./softmax.ts";

/** Every layer that the engine has, by the class name of a topology. */
export const layerKinds: ReadonlyMap<string, LayerKind> = new Map([
  ["Activation", activation],
  ["AlphaDropout", alphaDropout],
  ["Dense", dense],
  ["Dropout", dropout],
  ["ELU", elu],
  ["GRU", gru],
  ["GaussianDropout", gaussianDropout],
  ["GaussianNoise", gaussianNoise],
  ["LSTM", lstm],
  ["LeakyReLU", leakyRelu],
  ["PReLU", prelu],
  ["ReLU", relu],
  ["SimpleRNN", simpleRnn],
  ["Softmax", softmax],
  ["SpatialDropout1D", spatialDropout1D],
  ["SpatialDropout2D", spatialDropout2D],
  ["ThresholdedReLU", thresholdedRelu],
]);
