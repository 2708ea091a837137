import type { Watch } from "../../../models/engine/machine.ts";
import {
  type Build,
  instantiate,
  type Kernels,
  kernelModule,
  PAGE_BYTES,
  reach,
} from "../../../models/kernels/load.ts";

/** What a kernel may write behind the last buffer: a part of a vector. */
const BEYOND_BYTES = 64;

/**
 * The plain build's kernels, of which every call is also made in another build, with the same memory before it. Throws where result or
 * memory then differ in a bit, naming the kernel; two NaN are the same. Each build has its own scratch, below `heapBase()`, which is not
 * compared.
 */
export async function mirrored(
  other: Build,
): Promise<Watch & { readonly called: ReadonlyMap<string, number> }> {
  const [plain, mirror] = await Promise.all(
    (["plain", other] as const).map(async (build) => instantiate(PAGE_BYTES, await kernelModule(build))),
  );
  const base = Math.max(plain!.heapBase(), mirror!.heapBase());
  const called = new Map<string, number>();
  let end: number | undefined;

  /** The words that are compared, in both memories, which are as large. */
  function words(): [Uint32Array, Uint32Array] {
    reach(mirror!.memory, plain!.memory.buffer.byteLength);
    const size = plain!.memory.buffer.byteLength;
    const from = Math.ceil(base / 4) * 4;
    const count = (Math.min(size, (end ?? size) + BEYOND_BYTES) - from) >>> 2;
    return [
      new Uint32Array(plain!.memory.buffer, from, count),
      new Uint32Array(mirror!.memory.buffer, from, count),
    ];
  }

  const inBoth = (name: string, kernel: (...args: unknown[]) => unknown, same: typeof kernel) =>
    function both(...args: unknown[]): unknown {
      const [before, copy] = words();
      copy.set(before);
      const [got, mirrorGot] = [kernel(...args), same(...args)];
      called.set(name, (called.get(name) ?? 0) + 1);
      if (!Object.is(got, mirrorGot))
        throw new Error(`${name} gives ${got}, in the ${other} build ${mirrorGot}`);
      const at = firstDifference(...words());
      if (at === undefined) return got;
      const [after, mirrorAfter] = words().map(
        ({ buffer, byteOffset, length }) => new Float32Array(buffer, byteOffset, length),
      );
      throw new Error(`${name}(${args}) writes ${after![at]}, in the ${other} build ${mirrorAfter![at]}`);
    };
  const functions = Object.entries(plain!).map(([name, kernel]) => {
    if (typeof kernel !== "function") return [name, kernel];
    if (name === "heapBase") return [name, () => base];
    return [name, inBoth(name, kernel, mirror![name as keyof Kernels] as typeof kernel)];
  });
  return {
    kernels: Object.fromEntries(functions) as Kernels,
    called,
    gapBytes: 0,
    taken(address, bytes) {
      end = Math.max(end ?? 0, address + bytes);
    },
  };
}

function firstDifference(a: Uint32Array, b: Uint32Array): number | undefined {
  const bytes = ({ buffer, byteOffset, byteLength }: Uint32Array) =>
    Buffer.from(buffer, byteOffset, byteLength);
  if (bytes(a).equals(bytes(b))) return undefined;
  const isNaNBits = (word: number) => (word & 0x7fffffff) > 0x7f800000;
  const at = a.findIndex((word, i) => word !== b[i] && !(isNaNBits(word) && isNaNBits(b[i]!)));
  return at < 0 ? undefined : at;
}
