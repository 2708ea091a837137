import { type Build, builds, instantiate, type Kernels, kernelModule } from "../../../models/kernels/load.ts";

/** Kernels with a bump allocator in front, and a guard behind each buffer that shows writes past its end. */
export async function kernelArena(bytes = 8 << 20, build: Build = builds()[0]!) {
  const kernels: Kernels = await instantiate(bytes, await kernelModule(build));
  const base = Math.ceil(kernels.heapBase() / 16) * 16;
  let end = base;
  let guards: Float32Array[] = [];
  return {
    kernels,
    /** A buffer that holds `values`; its address may be off 16-byte alignment, as weights are. */
    put(values: ArrayLike<number>): { address: number; view: Float32Array } {
      const address = end + 4;
      const view = new Float32Array(kernels.memory.buffer, address, values.length);
      view.set(values);
      const guard = new Float32Array(kernels.memory.buffer, address + values.length * 4, 4).fill(GUARD);
      guards.push(guard);
      end = address + values.length * 4 + 16;
      return { address, view };
    },
    intact: () => guards.every((guard) => guard.every((value) => value === GUARD)),
    clear() {
      end = base;
      guards = [];
    },
  };
}

const GUARD = 1234.5;
