import { FleetError } from "../../protocol/errors.ts";
import { wasmBase64 } from "./wasm.ts";

/** A byte address in the kernels' memory. Everywhere, 0 stands for "none". */
export type Address = number;

/**
 * The functions of models/kernels/assembly, under the same names. Lengths count floats, addresses count bytes, booleans
 * are 0 or 1. What each argument holds stands at its definition there.
 */
export interface Kernels {
  readonly memory: WasmMemory;
  heapBase(): Address;
  activate(kind: number, x: Address, n: number): void;
  activateBackward(kind: number, a: Address, g: Address, n: number): void;
  adam(
    w: Address,
    g: Address,
    m: Address,
    v: Address,
    n: number,
    rate: number,
    b1: number,
    b2: number,
    eps: number,
    c1: number,
    c2: number,
  ): void;
  copy(to: Address, from: Address, n: number): void;
  columnSums(a: Address, lda: number, m: number, n: number, out: Address): void;
  denseForward(
    x: Address,
    w: Address,
    b: Address,
    y: Address,
    rows: number,
    k: number,
    n: number,
    act: number,
  ): void;
  denseBackward(
    x: Address,
    w: Address,
    y: Address,
    dy: Address,
    dx: Address,
    dw: Address,
    db: Address,
    rows: number,
    k: number,
    n: number,
    act: number,
  ): void;
  exactAdd(acc: Address, x: Address, n: number, weight: number): void;
  exactMean(acc: Address, n: number, total: number, out: Address): void;
  gemm(
    ta: number,
    tb: number,
    m: number,
    n: number,
    k: number,
    a: Address,
    lda: number,
    b: Address,
    ldb: number,
    c: Address,
    ldc: number,
    accumulate: number,
    bias: Address,
  ): void;
  gemv(x: Address, w: Address, ldw: number, y: Address, k: number, n: number): void;
  gruForward(
    x: Address,
    w: Address,
    r: Address,
    b: Address,
    hs: Address,
    gates: Address,
    inner: Address,
    zeros: Address,
    packed: Address,
    bias: Address,
    T: number,
    B: number,
    C: number,
    H: number,
    act: number,
    recAct: number,
    resetAfter: number,
  ): void;
  gruBackward(
    x: Address,
    w: Address,
    r: Address,
    hs: Address,
    gates: Address,
    inner: Address,
    zeros: Address,
    dy: Address,
    sequences: number,
    dh: Address,
    du: Address,
    dx: Address,
    dw: Address,
    dr: Address,
    db: Address,
    packed: Address,
    T: number,
    B: number,
    C: number,
    H: number,
    act: number,
    recAct: number,
    resetAfter: number,
  ): void;
  gruStep(
    x: Address,
    w: Address,
    r: Address,
    b: Address,
    h: Address,
    z: Address,
    zeros: Address,
    C: number,
    H: number,
    act: number,
    recAct: number,
    resetAfter: number,
  ): void;
  hasInfinity(x: Address, n: number): number;
  lstmForward(
    x: Address,
    w: Address,
    r: Address,
    b: Address,
    hs: Address,
    gates: Address,
    cells: Address,
    squashed: Address,
    zeros: Address,
    packed: Address,
    T: number,
    B: number,
    C: number,
    H: number,
    act: number,
    recAct: number,
  ): void;
  lstmBackward(
    x: Address,
    w: Address,
    r: Address,
    hs: Address,
    gates: Address,
    cells: Address,
    squashed: Address,
    zeros: Address,
    dy: Address,
    sequences: number,
    dh: Address,
    dc: Address,
    dx: Address,
    dw: Address,
    dr: Address,
    db: Address,
    packed: Address,
    T: number,
    B: number,
    C: number,
    H: number,
    act: number,
    recAct: number,
  ): void;
  lstmStep(
    x: Address,
    w: Address,
    r: Address,
    b: Address,
    h: Address,
    c: Address,
    z: Address,
    C: number,
    H: number,
    act: number,
    recAct: number,
  ): void;
  maxAbsBits(x: Address, n: number): number;
  proximal(g: Address, w: Address, anchor: Address, n: number, mu: number): void;
  reorder(from: Address, to: Address, rows: number, columns: number, inner: number): void;
  rnnForward(
    x: Address,
    w: Address,
    r: Address,
    b: Address,
    hs: Address,
    packed: Address,
    T: number,
    B: number,
    C: number,
    H: number,
    act: number,
  ): void;
  rnnBackward(
    x: Address,
    w: Address,
    r: Address,
    hs: Address,
    dy: Address,
    sequences: number,
    dz: Address,
    dx: Address,
    dw: Address,
    dr: Address,
    db: Address,
    packed: Address,
    T: number,
    B: number,
    C: number,
    H: number,
    act: number,
  ): void;
  rnnStep(
    x: Address,
    w: Address,
    r: Address,
    b: Address,
    h: Address,
    z: Address,
    C: number,
    H: number,
    act: number,
  ): void;
  scale(x: Address, n: number, factor: number): void;
  sgd(w: Address, g: Address, v: Address, n: number, rate: number, momentum: number, nesterov: number): void;
  squaredError(
    p: Address,
    y: Address,
    weight: Address,
    rows: number,
    cols: number,
    dp: Address,
    out: Address,
  ): void;
  sumOfSquares(x: Address, n: number): number;
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
  instantiate(module: WasmModule, imports: object): Promise<{ readonly exports: object }>;
  Memory: new (descriptor: { initial: number; maximum?: number }) => WasmMemory;
};

export const PAGE_BYTES = 65_536;
/** 2 GiB: past it, addresses would no longer fit the kernels' signed arithmetic. */
const MAX_PAGES = 32_768;
/** The kernels' own static data and scratch. */
const KERNEL_PAGES = 4;

// Compiling is the slow part and its result never changes, so the process keeps it: a constant, made on first use.
let compiled: Promise<WasmModule> | undefined;

/** The kernels, compiled once per process. Post it to a worker to spare it the compilation. */
export function kernelModule(): Promise<WasmModule> {
  compiled ??= WebAssembly.compile(Buffer.from(wasmBase64, "base64"));
  return compiled;
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
