// The kernels of the engine: plain functions on addresses in one memory, which the caller lays out. Nothing here
// allocates. Sizes are counts of floats, addresses are bytes. See ../README.md for how each works.

export { activate, activateBackward } from "./activation";
export {
  categoricalCrossentropy, categoricalCrossentropyLogits, cosineDistance, kullbackLeibler, sparseCrossentropy, sparseCrossentropyLogits,
} from "./class-loss";
export { curve, curveBackward } from "./curve";
export { alphaDropout, applyChannelMask, applyMask, applyNoise } from "./dropout";
export { addTo, copy } from "./elementwise";
export { convBackward, convForward, convStep } from "./conv";
export { depthwiseBackward, depthwiseForward } from "./conv-depthwise";
export { convShape } from "./conv-shape";
export { addRow, addTo, copy } from "./elementwise";
  attentionBackward, attentionFloats, attentionForward, placeColumns, timesWeight, timesWeightBackward,
} from "./attention";
export { addTo, clear, copy } from "./elementwise";
export { denseBackward, denseForward } from "./dense";
export { embeddingBackward, embeddingForward, repeat, tokenMask, tokensWithin } from "./embedding";
export { exactAdd, exactMean } from "./exact-sum";
export { gemm, gemv } from "./gemm";
export { gruBackward, gruForward, gruStep } from "./gru";
export {
  absoluteError, binaryCrossentropy, binaryCrossentropyLogits, huber, logCosh, poisson, scale, squaredError,
} from "./loss";
export { lstmBackward, lstmForward, lstmStep } from "./lstm";
export {
  adagrad, adam, addScaled, clampTo, holdNonNegative, holdNorms, penalty, proximal, rmsprop, sgd, sumOfSquares,
} from "./optimizer";
export { claim, combine, scaled } from "./merge";
  batchNormBackward, batchNormForward, columnMoments, layerNormBackward, layerNormForward, movingAverage,
} from "./normalization";
export { adam, proximal, sgd, sumOfSquares } from "./optimizer";
export {
  averagePool,
  averagePoolBackward,
  maxPool,
  maxPoolBackward,
  maxPoolPairs,
  maxPoolPairsBackward,
  maxStep,
  meanOverTime,
  meanOverTimeBackward,
  meanStep,
} from "./pool";
export { bilinear, bilinearBackward, copyBlocks, fill, fillZero, gather, scatterAdd } from "./shape";
export { maskByTime, maskSteps, maskStepsBackward } from "./mask";
export { adam, proximal, sgd, sumOfSquares } from "./optimizer";
export { arrangeSteps, dropFactors, mergeDirections, mergeDirectionsBackward } from "./sequence";
export { rnnBackward, rnnForward, rnnStep } from "./simple-rnn";
export { softmax, softmaxBackward } from "./softmax";
export { hasStrayClass, maskTargets, spreadWeights, weighClasses } from "./targets";
export { gather, preluBackward, preluForward, spread } from "./prelu";
export { fillKept, fillNormal } from "./random";
export { rnnBackward, rnnForward, rnnStep } from "./simple-rnn";
export { logSoftmax, logSoftmaxBackward, softmax, softmaxBackward } from "./softmax";
export { columnSums, hasInfinity, maxAbsBits, reorder } from "./tensor";

/** The first byte that the caller may use: the kernels' own scratch lies below. */
export function heapBase(): usize {
  return __heap_base;
}
