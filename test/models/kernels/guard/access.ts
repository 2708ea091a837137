import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const SOURCES = fileURLToPath(new URL("../../../../models/kernels/assembly", import.meta.url));

/** Below it is nothing, so that the address 0, "none", and what a kernel adds to it, is in no buffer. */
export const DATA_START = 65_536;

/**
 * The kernels with a call before each access to memory: `guard.check(address, bytes)`, which may throw. The sources are the ones that are
 * shipped; only the compiler's own functions that read and write memory are put behind functions of the same arguments.
 */
export async function compileGuarded(): Promise<Uint8Array> {
  const scratch = mkdtempSync(join(tmpdir(), "starling-guard-"));
  try {
    for (const file of readdirSync(SOURCES)) {
      const source = readFileSync(join(SOURCES, file), "utf8");
      writeFileSync(join(scratch, file), guarded(source));
    }
    writeFileSync(join(scratch, "access.ts"), ACCESS);
    const { default: asc } = await import("assemblyscript/asc");
    const out = join(scratch, "kernels.wasm");
    const { error, stderr } = await asc.main([
      join(scratch, "index.ts"),
      ...["--baseDir", "/", "--outFile", out],
      ...["-O1", "--noAssert", "--runtime=stub", "--enable=simd", "--importMemory", "--zeroFilledMemory"],
      ...["--memoryBase", String(DATA_START)],
      ...["--disableWarning=112", "--use=abort=", "--debug"], // with names, for the stack of what is found
    ]);
    if (error) throw new Error(`the guarded kernels do not compile: ${stderr.toString()}`, { cause: error });
    return readFileSync(out);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** What is put in the place of each function that touches memory. */
const REPLACED: readonly (readonly [RegExp, string])[] = [
  // One function may read three floats more than there are, and says so.
  [/(function loadBeyond\(p: usize\): v128 {\s*return )v128\.load\(/, "$1guard.loadBeyond("],
  [/\bv128\.load_(lane|zero|splat|ext)</g, "guard.load_$1<"],
  [/\bv128\.store_lane</g, "guard.store_lane<"],
  [/\bv128\.(load|store)\(/g, "guard.$1Vector("],
  [/(?<![\w.])(load|store)</g, "guard.$1<"],
  [/\bmemory\.(copy|fill)\(/g, "guard.$1("],
];

function guarded(source: string): string {
  // In code alone: comments may speak of memory.copy.
  const code = source
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, " "))
    .replace(/\/\/(?! @ts-ignore: decorator).*/g, "");
  const replaced = REPLACED.reduce((text, [pattern, by]) => text.replace(pattern, by), code);
  const left = /\b(v128|i8x16|i16x8|i32x4|i64x2|f32x4|f64x2|memory)\.(load|store|copy|fill)\w*/.exec(
    replaced,
  );
  if (left) throw new Error(`the guard does not know ${left[0]}; add it to REPLACED and ACCESS`);
  return replaced.includes("guard.") ? `import { guard } from "./access";\n${replaced}` : replaced;
}

/** AssemblyScript. The compiler takes constants alone for lanes, hence the cases. */
const ACCESS = `
@external("guard", "check")
declare function check(address: usize, bytes: usize): void;

export namespace guard {
  // @ts-ignore: decorator
  @inline
  export function loadBeyond(p: usize): v128 {
    check(p, 4);
    return v128.load(p);
  }
  // @ts-ignore: decorator
  @inline
  export function loadVector(p: usize, offset: usize = 0): v128 {
    check(p + offset, 16);
    return v128.load(p + offset);
  }
  // @ts-ignore: decorator
  @inline
  export function storeVector(p: usize, value: v128, offset: usize = 0): void {
    check(p + offset, 16);
    v128.store(p + offset, value);
  }
  // @ts-ignore: decorator
  @inline
  export function load<T>(p: usize, offset: usize = 0): T {
    check(p + offset, sizeof<T>());
    return unguarded_load<T>(p + offset);
  }
  // @ts-ignore: decorator
  @inline
  export function store<T>(p: usize, value: T, offset: usize = 0): void {
    check(p + offset, sizeof<T>());
    unguarded_store<T>(p + offset, value);
  }
  // @ts-ignore: decorator
  @inline
  export function load_zero<T>(p: usize, offset: usize = 0): v128 {
    check(p + offset, sizeof<T>());
    return v128.load_zero<T>(p + offset);
  }
  // @ts-ignore: decorator
  @inline
  export function load_splat<T>(p: usize, offset: usize = 0): v128 {
    check(p + offset, sizeof<T>());
    return v128.load_splat<T>(p + offset);
  }
  // @ts-ignore: decorator
  @inline
  export function load_ext<T>(p: usize, offset: usize = 0): v128 {
    check(p + offset, 8);
    return v128.load_ext<T>(p + offset);
  }
  // @ts-ignore: decorator
  @inline
  export function load_lane<T>(p: usize, v: v128, lane: u8, offset: usize = 0): v128 {
    check(p + offset, sizeof<T>());
    if (lane == 0) return v128.load_lane<T>(p + offset, v, 0);
    if (sizeof<T>() == 8 || lane == 1) return v128.load_lane<T>(p + offset, v, 1);
    if (sizeof<T>() == 4) return lane == 2 ? v128.load_lane<T>(p + offset, v, 2) : v128.load_lane<T>(p + offset, v, 3);
    return v;
  }
  // @ts-ignore: decorator
  @inline
  export function store_lane<T>(p: usize, v: v128, lane: u8, offset: usize = 0): void {
    check(p + offset, sizeof<T>());
    if (lane == 0) v128.store_lane<T>(p + offset, v, 0);
    else if (sizeof<T>() == 8 || lane == 1) v128.store_lane<T>(p + offset, v, 1);
    else if (sizeof<T>() == 4) {
      if (lane == 2) v128.store_lane<T>(p + offset, v, 2);
      else v128.store_lane<T>(p + offset, v, 3);
    }
  }
  // @ts-ignore: decorator
  @inline
  export function copy(to: usize, from: usize, n: usize): void {
    check(from, n);
    check(to, n);
    memory.copy(to, from, n);
  }
  // @ts-ignore: decorator
  @inline
  export function fill(to: usize, value: u8, n: usize): void {
    check(to, n);
    memory.fill(to, value, n);
  }
}

// @ts-ignore: decorator
@inline
function unguarded_load<T>(p: usize): T {
  return load<T>(p);
}
// @ts-ignore: decorator
@inline
function unguarded_store<T>(p: usize, value: T): void {
  store<T>(p, value);
}
`;
