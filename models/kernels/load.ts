import { brotliDecompressSync } from "node:zlib";
import { FleetError } from "../../protocol/errors.ts";
import type { KernelFunctions } from "./wasm.ts";

/** A byte address in the kernels' memory. Everywhere, 0 stands for "none". */
export type Address = number;

/** The functions of models/kernels/assembly, and the memory that they work on. */
export interface Kernels extends KernelFunctions {
  readonly memory: WasmMemory;
}

/** What is used of the WebAssembly globals: Node has them, its type package does not. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}
/** A compiled module; it may be posted to a worker. */
export interface WasmModule {
  readonly [Symbol.toStringTag]: string;
}
declare const WebAssembly: {
  compile(bytes: Uint8Array): Promise<WasmModule>;
  validate(bytes: Uint8Array): boolean;
  instantiate(module: WasmModule, imports: object): Promise<{ readonly exports: object }>;
  Memory: new (descriptor: { initial: number; maximum?: number }) => WasmMemory;
};

export const PAGE_BYTES = 65_536;
/** 2 GiB: past it, addresses would no longer fit the kernels' signed arithmetic. */
const MAX_PAGES = 32_768;
/** The kernels' own static data and scratch. */
const KERNEL_PAGES = 4;

/**
 * The same sources three times. With relaxed SIMD a product and a sum are one instruction that rounds once, where the processor has it, so the
 * last bits may differ. Scalar is without SIMD: the plain one's results to the last bit, six times as slow.
 */
export type Build = "relaxed" | "plain" | "scalar";

/** Imported when asked for: a process has the text of one build in its heap, and a worker, which is sent the module, of none. */
const COMPRESSED: Readonly<Record<Build, () => Promise<{ readonly brotli: string }>>> = {
  relaxed: () => import("./wasm-relaxed.ts"),
  plain: () => import("./wasm-plain.ts"),
  scalar: () => import("./wasm-scalar.ts"),
};

/** The builds that run here, the fastest first. */
export function builds(): readonly Build[] {
  const zero = [0x41, 0, 0xfd, 15]; // i32.const 0, i8x16.splat
  const hasSimd = WebAssembly.validate(moduleOf(zero));
  const hasRelaxed = hasSimd && WebAssembly.validate(moduleOf([...zero, ...zero, ...zero, 0xfd, 0x85, 2])); // f32x4.relaxed_madd
  if (!hasSimd) return ["scalar"];
  return hasRelaxed ? ["relaxed", "plain", "scalar"] : ["plain", "scalar"];
}

/** A module of one function without parameters, whose `code` leaves a v128. */
function moduleOf(code: readonly number[]): Uint8Array {
  return Uint8Array.of(
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0], // magic, version
    ...[1, 5, 1, 0x60, 0, 1, 0x7b], // type: () -> v128
    ...[3, 2, 1, 0], // function 0 has it
    ...[10, code.length + 4, 1, code.length + 2, 0], // code of function 0, no locals
    ...[...code, 11], // end
  );
}

// Compiling is the slow part and its result never changes, so the process keeps it: made on first use.
const compiled = new Map<Build, Promise<WasmModule>>();

/** The kernels, compiled once per process. Post it to a worker to spare it the compilation. */
export function kernelModule(build: Build = builds()[0]!): Promise<WasmModule> {
  const known = compiled.get(build) ?? compileBuild(build);
  compiled.set(build, known);
  return known;
}

async function compileBuild(build: Build): Promise<WasmModule> {
  const { brotli } = await COMPRESSED[build]();
  return WebAssembly.compile(brotliDecompressSync(Buffer.from(brotli, "base64")));
}

/** One instance with its own memory of at least `bytes` for the caller, from `heapBase()` on. */
export async function instantiate(bytes: number, module?: WasmModule): Promise<Kernels> {
  const pages = KERNEL_PAGES + Math.ceil(bytes / PAGE_BYTES);
  if (pages > MAX_PAGES) throw tooLarge(bytes);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: MAX_PAGES });
  const instance = await WebAssembly.instantiate(module ?? (await kernelModule()), { env: { memory } });
  return { ...instance.exports, memory } as unknown as Kernels;
}

/** Makes the memory reach up to address `end`. Views on the old buffer are dead afterwards. */
export function reach(memory: WasmMemory, end: Address): void {
  const missing = Math.ceil((end - memory.buffer.byteLength) / PAGE_BYTES);
  if (missing <= 0) return;
  if (end > MAX_PAGES * PAGE_BYTES) throw tooLarge(end);
  memory.grow(missing);
}

function tooLarge(bytes: number): FleetError {
  const mebibytes = Math.ceil(bytes / 2 ** 20);
  return new FleetError(
    "TOO_LARGE",
    `the model needs ${mebibytes} MiB of memory, the kernels reach 2048; use a smaller model or a smaller maxBatch`,
  );
}
