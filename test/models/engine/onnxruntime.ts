import { createRequire } from "node:module";

/** The part of onnxruntime-node that is used here: version 1.17.0, the last without an install script, ships no types. */
interface Onnxruntime {
  readonly Tensor: new (type: "float32", data: Float32Array, dims: readonly number[]) => object;
  readonly InferenceSession: {
    create(file: Uint8Array): Promise<{
      readonly inputNames: readonly string[];
      readonly outputNames: readonly string[];
      run(
        feeds: Readonly<Record<string, object>>,
      ): Promise<Readonly<Record<string, { readonly data: Float32Array; readonly dims: readonly number[] }>>>;
    }>;
  };
}

export const { Tensor, InferenceSession } = createRequire(import.meta.url)("onnxruntime-node") as Onnxruntime;
