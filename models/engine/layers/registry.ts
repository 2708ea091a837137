import { activation } from "./activation.ts";
import { attention } from "./attention.ts";
import { batchNormalization } from "./batch-normalization.ts";
import { dense } from "./dense.ts";
import { embedding } from "./embedding.ts";
import { gru } from "./gru.ts";
import type { LayerKind } from "./layer.ts";
import { layerNormalization } from "./layer-normalization.ts";
import { lstm } from "./lstm.ts";
import { multiHeadAttention } from "./multi-head-attention.ts";
import { positionEmbedding, sinePositionEncoding } from "./position.ts";
import { simpleRnn } from "./simple-rnn.ts";

/** Every layer that the engine has, by the class name of a topology. */
export const layerKinds: ReadonlyMap<string, LayerKind> = new Map([
  ["Activation", activation],
  ["Attention", attention],
  ["BatchNormalization", batchNormalization],
  ["Dense", dense],
  ["Embedding", embedding],
  ["GRU", gru],
  ["LayerNormalization", layerNormalization],
  ["LSTM", lstm],
  ["MultiHeadAttention", multiHeadAttention],
  ["PositionEmbedding", positionEmbedding],
  ["SimpleRNN", simpleRnn],
  ["SinePositionEncoding", sinePositionEncoding],
]);
