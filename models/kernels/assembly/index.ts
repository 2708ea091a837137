// The kernels of the engine: plain functions on addresses in one memory, which the caller lays out. Nothing here
// allocates. Sizes are counts of floats, addresses are bytes. See ../README.md for how each works.

export { activate, activateBackward } from "./activation";
export { convBackward, convForward, convStep } from "./conv";
export { depthwiseBackward, depthwiseForward } from "./conv-depthwise";
export { convShape } from "./conv-shape";
export { addRow, addTo, copy } from "./elementwise";
export { denseBackward, denseForward } from "./dense";
export { exactAdd, exactMean } from "./exact-sum";
export { gemm, gemv } from "./gemm";
export { gruBackward, gruForward, gruStep } from "./gru";
export { scale, squaredError } from "./loss";
export { lstmBackward, lstmForward, lstmStep } from "./lstm";
export { adam, proximal, sgd, sumOfSquares } from "./optimizer";
export { rnnBackward, rnnForward, rnnStep } from "./simple-rnn";
export { softmax, softmaxBackward } from "./softmax";
export { columnSums, hasInfinity, maxAbsBits, reorder } from "./tensor";
export { seriesBackward, seriesForward } from "./winograd-series";
export { winogradBackward, winogradForward } from "./winograd";

/** The first byte that the caller may use: the kernels' own scratch lies below. */
export function heapBase(): usize {
  return __heap_base;
}
