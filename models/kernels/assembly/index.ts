// The kernels of the engine: plain functions on addresses in one memory, which the caller lays out. Nothing here
// allocates. Sizes are counts of floats, addresses are bytes. See ../README.md for how each works.

export { activate, activateBackward } from "./activation";
export { additiveScores, additiveScoresBackward } from "./additive";
export {
  attentionBackward, attentionFloats, attentionForward, placeColumns, timesWeight, timesWeightBackward,
} from "./attention";
export {
  categoricalCrossentropy, categoricalCrossentropyLogits, cosineDistance, kullbackLeibler, sparseCrossentropy,
  sparseCrossentropyLogits,
} from "./class-loss";
export { addInt8, encodeInt8, takeTop } from "./codec";
export { planeForward } from "./conv-plane";
export { convBackward, convForward, convStep } from "./conv";
export { depthwiseBackward, depthwiseForward } from "./conv-depthwise";
export { convShape } from "./conv-shape";
export { curve, curveBackward } from "./curve";
export { denseBackward, denseForward } from "./dense";
export { alphaDropout, applyChannelMask, applyMask, applyNoise } from "./dropout";
export { addRow, addTo, clear, copy } from "./elementwise";
export { embeddingBackward, embeddingForward, repeat, tokenMask, tokensWithin } from "./embedding";
export { exactAdd, exactMean } from "./exact-sum";
export { gemm, gemv } from "./gemm";
export { gruBackward, gruForward, gruStep } from "./gru";
export { convForward8, product8, quantize8 } from "./int8";
export {
  absoluteError, binaryCrossentropy, binaryCrossentropyLogits, huber, logCosh, poisson, scale, squaredError,
} from "./loss";
export { lstmBackward, lstmForward, lstmStep } from "./lstm";
export { maskByTime, maskSteps, maskStepsBackward } from "./mask";
export { claim, combine, scaled } from "./merge";
export {
  batchNormBackward, batchNormForward, columnMoments, layerNormBackward, layerNormForward, movingAverage,
} from "./normalization";
export {
  adagrad, adam, addScaled, clampTo, holdNonNegative, holdNorms, penalty, proximal, rmsprop, sgd, sumOfSquares,
} from "./optimizer";
export {
  averagePool, averagePoolBackward, maxPool, maxPoolBackward, maxPoolPairs, maxPoolPairsBackward, maxStep,
  meanOverTime, meanOverTimeBackward, meanStep,
} from "./pool";
export { preluBackward, preluForward, spread, sumOver } from "./prelu";
export { fillKept, fillNormal } from "./random";
export { arrangeSteps, dropFactors, mergeDirections, mergeDirectionsBackward } from "./sequence";
export { bilinear, bilinearBackward, copyBlocks, fill, fillZero, gather, scatterAdd } from "./shape";
export { rnnBackward, rnnForward, rnnStep } from "./simple-rnn";
export { logSoftmax, logSoftmaxBackward, softmax, softmaxBackward } from "./softmax";
export { hasStrayClass, maskTargets, spreadWeights, weighClasses } from "./targets";
export { columnSums, hasInfinity, maxAbsBits, reorder } from "./tensor";
export { seriesBackward, seriesForward } from "./winograd-series";
export { winogradBackward, winogradForward } from "./winograd";

/** The first byte that the caller may use: the kernels' own scratch lies below. */
export function heapBase(): usize {
  return __heap_base;
}
