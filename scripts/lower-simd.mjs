// Turns a WASM module with 128-bit vectors into one without: a vector becomes four f32 or i32 (or two f64), and an operation the
// same operation on each lane, so that results are equal to the last bit (but for the payload of a NaN).
// Binaryen first makes the code flat: operands are locals or constants, so a vector appears only where a statement makes or takes
// one, and each such statement is replaced by statements for its lanes.
import binaryen from "assemblyscript/binaryen";
import { addPassedLanes, lowerFunction } from "./lower-simd/function.mjs";
import { operationsOf } from "./lower-simd/operations.mjs";

const { BulkMemory, BulkMemoryOpt, MutableGlobals, NontrappingFPToInt, SignExt } = binaryen.Features;
/** What runtimes had before vectors. */
const WITHOUT_SIMD = BulkMemory | BulkMemoryOpt | MutableGlobals | NontrappingFPToInt | SignExt;

/** `wasm` (bytes) without vectors, optimised. Throws where it has an operation that is not known, naming it. */
export function lowerSimd(wasm) {
  const m = binaryen.readBinaryWithFeatures(wasm, WITHOUT_SIMD | binaryen.Features.SIMD128);
  try {
    binaryen.setZeroFilledMemory(true);
    // The first gives each assignment its own local, so that none holds floats here and integers there.
    m.runPasses(["ssa-nomerge", "flatten", "simplify-locals-nonesting", "vacuum"]);
    addPassedLanes(m);
    const operations = operationsOf(m);
    const functions = Array.from({ length: m.getNumFunctions() }, (_, k) => m.getFunctionByIndex(k));
    for (const info of functions.map((f) => binaryen.getFunctionInfo(f))) {
      if (info.body !== 0) lowerFunction(m, operations, info);
    }
    m.setFeatures(WITHOUT_SIMD);
    if (!m.validate()) throw new Error("scripts/lower-simd.mjs left vectors in the module (see above)");
    binaryen.setOptimizeLevel(3);
    binaryen.setShrinkLevel(1);
    m.optimize();
    // Four constants in the place of one: kept in locals, they are a tenth of the module less.
    m.runPasses(["const-hoisting"]);
    return m.emitBinary();
  } finally {
    m.dispose();
  }
}
