import { activation } from "./activation.ts";
import { conv1d, conv2d } from "./conv.ts";
import { conv1dTranspose, conv2dTranspose } from "./conv-transpose.ts";
import { dense } from "./dense.ts";
import { depthwiseConv1d, depthwiseConv2d } from "./depthwise-conv.ts";
import { gru } from "./gru.ts";
import type { LayerKind } from "./layer.ts";
import { lstm } from "./lstm.ts";
import { separableConv1d, separableConv2d } from "./separable-conv.ts";
import { simpleRnn } from "./simple-rnn.ts";

/** Every layer that the engine has, by the class name of a topology. */
export const layerKinds: ReadonlyMap<string, LayerKind> = new Map([
  ["Activation", activation],
  ["Conv1D", conv1d],
  ["Conv1DTranspose", conv1dTranspose],
  ["Conv2D", conv2d],
  ["Conv2DTranspose", conv2dTranspose],
  ["Dense", dense],
  ["DepthwiseConv1D", depthwiseConv1d],
  ["DepthwiseConv2D", depthwiseConv2d],
  ["GRU", gru],
  ["LSTM", lstm],
  ["SeparableConv1D", separableConv1d],
  ["SeparableConv2D", separableConv2d],
  ["SimpleRNN", simpleRnn],
]);
