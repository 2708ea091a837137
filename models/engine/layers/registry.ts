import { activation } from "./activation.ts";
import { bidirectional } from "./bidirectional.ts";
import { dense } from "./dense.ts";
import { gru } from "./gru.ts";
import type { LayerKind } from "./layer.ts";
import { lstm } from "./lstm.ts";
import { masking } from "./masking.ts";
import { rnn } from "./rnn.ts";
import { simpleRnn } from "./simple-rnn.ts";
import { timeDistributed } from "./time-distributed.ts";

/** Every layer that the engine has, by the class name of a topology. */
export const layerKinds: ReadonlyMap<string, LayerKind> = new Map([
  ["Activation", activation],
  ["Bidirectional", bidirectional],
  ["Dense", dense],
  ["GRU", gru],
  ["LSTM", lstm],
  ["Masking", masking],
  ["RNN", rnn],
  ["SimpleRNN", simpleRnn],
  ["TimeDistributed", timeDistributed((className) => layerKinds.get(className))],
]);
