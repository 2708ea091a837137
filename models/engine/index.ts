export { createExactSum, type ExactSum } from "../kernels/exact-sum.ts";
export { kernelModule, type WasmModule } from "../kernels/load.ts";
export { type CompileOptions, compile, type Model } from "./compile.ts";
export type { FitOptions, FitResult } from "./fit.ts";
export { createRandom, type Random } from "./random.ts";
export type { Arrays, MultiSamples, Samples } from "./samples.ts";
export type { Layout, Shape } from "./shape.ts";
export { sizeOf } from "./shape.ts";
export type { Stepper } from "./stepper.ts";
