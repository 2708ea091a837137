import type { Watch } from "../../../../models/engine/machine.ts";
import {
  type Address,
  type Kernels,
  PAGE_BYTES,
  type WasmMemory,
  type WasmModule,
} from "../../../../models/kernels/load.ts";
import { DATA_START } from "./access.ts";

/** More than any vector loop could step over, and no multiple of a vector. */
const GAP_BYTES = 68;
/** 32 MB: much more than any of the small models needs. */
const MOST_PAGES = 512;

declare const WebAssembly: {
  compile(bytes: Uint8Array): Promise<WasmModule>;
  instantiate(module: WasmModule, imports: object): Promise<{ readonly exports: object }>;
  Memory: new (descriptor: { initial: number; maximum?: number }) => WasmMemory;
};

export function loadGuarded(bytes: Uint8Array): Promise<WasmModule> {
  return WebAssembly.compile(bytes);
}

/**
 * Guarded kernels whose every access must lie inside one buffer that was handed out, or in the kernels' own data: else it throws, and the
 * stack names the kernel. Buffers have gaps between them that belong to nobody.
 *
 * What it can't see: that a kernel takes another buffer than its own, or goes past one part of a buffer into the next (all weights are one
 * buffer, and so are all states), or reads what an earlier batch left.
 */
export async function watched(module: WasmModule): Promise<Watch & { reads(): number }> {
  const memory = new WebAssembly.Memory({ initial: 8, maximum: MOST_PAGES });
  const open = new Uint8Array((MOST_PAGES * PAGE_BYTES) / 4); // by word of four bytes
  let accesses = 0;
  const check = (address: Address, bytes: number) => {
    accesses += 1;
    const first = address >>> 2;
    const last = (address + bytes - 1) >>> 2;
    for (let word = first; word <= last; word++) {
      if (open[word] === 1) continue;
      throw new RangeError(`${bytes} bytes at address ${address}: word ${word - first} is in no buffer`);
    }
  };
  const { exports } = await WebAssembly.instantiate(module, { env: { memory }, guard: { check } });
  const kernels = { ...exports, memory } as unknown as Kernels;
  const taken = (address: Address, bytes: number) =>
    void open.fill(1, address >>> 2, (address + bytes) >>> 2);
  taken(DATA_START, kernels.heapBase() - DATA_START);
  return { kernels, gapBytes: GAP_BYTES, taken, reads: () => accesses };
}
