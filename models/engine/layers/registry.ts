import { activation } from "./activation.ts";
import { dense } from "./dense.ts";
import { gru } from "./gru.ts";
import type { LayerKind } from "./layer.ts";
import { lstm } from "./lstm.ts";
import { simpleRnn } from "./simple-rnn.ts";

/** Every layer that the engine has, by the class name of a topology. */
export const layerKinds: ReadonlyMap<string, LayerKind> = new Map([
  ["Activation", activation],
  ["Dense", dense],
  ["GRU", gru],
  ["LSTM", lstm],
  ["SimpleRNN", simpleRnn],
]);
