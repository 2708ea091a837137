export { createExactSum, type ExactSum } from "../kernels/exact-sum.ts";
export { kernelModule, type WasmModule } from "../kernels/load.ts";
export type { Choice, Model } from "./compile.ts";
export { compile, type EngineOptions as CompileOptions } from "./engines.ts";
export type { ModelEvaluateOptions, ModelEvaluation } from "./evaluate.ts";
export type { BatchEvent, EpochEvent, FitOptions } from "./fit-options.ts";
export type { FitResult } from "./loop.ts";
export type { Loss } from "./loss-spec.ts";
export { createRandom, type Random } from "./random.ts";
export type { Arrays, MultiSamples, Samples } from "./samples.ts";
export type { Layout, Shape } from "./shape.ts";
export { sizeOf } from "./shape.ts";
export type { Stepper } from "./stepper.ts";
export {
  type EngineWorker,
  type EngineWorkerOptions,
  openEngineWorker,
  type RemoteCompileOptions,
  type RemoteModel,
} from "./worker/client.ts";
export { isEngineThread, runEngineThread } from "./worker/run.ts";
