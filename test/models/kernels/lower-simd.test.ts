import binaryen from "assemblyscript/binaryen";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { operationsOf } from "../../../scripts/lower-simd/operations.mjs";
import { lowerSimd } from "../../../scripts/lower-simd.mjs";

declare const WebAssembly: {
  compile(bytes: Uint8Array): Promise<object>;
  instantiate(module: object): Promise<{ readonly exports: object }>;
};
interface Instance {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly [operation: string]: unknown;
}

/** Operands stand at 0, 16 and 32, a number at 48, the result at 64. */
const RESULT = 64;
const vector = (at: number) => `(v128.load (i32.const ${at}))`;
const lanes = (which: readonly number[]) =>
  which.flatMap((lane) => [0, 1, 2, 3].map((byte) => 4 * lane + byte)).join(" ");

/** Operations with more than vectors as operands, in the text format; most have several forms. */
const FORMS: Readonly<Record<string, readonly string[]>> = {
  copy: [vector(0)],
  select: [`(select ${vector(0)} ${vector(16)} (i32.load (i32.const 48)))`],
  "i8x16.shuffle": [
    [7, 0, 3, 4],
    [2, 2, 1, 0],
    [5, 1, 6, 2],
  ].map((which) => `(i8x16.shuffle ${lanes(which)} ${vector(0)} ${vector(16)})`),
  ...Object.fromEntries(
    ["shl", "shr_s", "shr_u"].map((name) => [
      `i32x4.${name}`,
      [
        `(i32x4.${name} ${vector(0)} (i32.load (i32.const 48)))`,
        `(i32x4.${name} ${vector(0)} (i32.const 9))`,
      ],
    ]),
  ),
  "f32x4.splat": ["(f32x4.splat (f32.load (i32.const 48)))"],
  "i32x4.splat": ["(i32x4.splat (i32.load (i32.const 48)))"],
  "f32x4.replace_lane": [0, 3].map(
    (lane) => `(f32x4.replace_lane ${lane} ${vector(0)} (f32.load (i32.const 48)))`,
  ),
  "f32x4.extract_lane": [0, 3].map((lane) => `(f32x4.splat (f32x4.extract_lane ${lane} ${vector(0)}))`),
  "i32x4.extract_lane": [0, 3].map((lane) => `(i32x4.splat (i32x4.extract_lane ${lane} ${vector(0)}))`),
  "f64x2.extract_lane": [0, 1].map(
    (lane) => `(f32x4.splat (f32.demote_f64 (f64x2.extract_lane ${lane} ${vector(0)})))`,
  ),
  "i32x4.bitmask": [`(i32x4.splat (i32x4.bitmask ${vector(0)}))`],
  "v128.any_true": [vector(0), `(v128.xor ${vector(0)} ${vector(0)})`].map(
    (of) => `(i32x4.splat (v128.any_true ${of}))`,
  ),
  ...Object.fromEntries(
    ["load", "load32_splat", "load32_zero", "load64_zero", "load8x8_s"].map((name) => [
      `v128.${name}`,
      [`(v128.${name} offset=3 (i32.const 2))`],
    ]),
  ),
  "v128.load32_lane": [0, 2].map((lane) => `(v128.load32_lane offset=5 ${lane} (i32.const 1) ${vector(16)})`),
  "v128.load64_lane": [0, 1].map((lane) => `(v128.load64_lane offset=5 ${lane} (i32.const 1) ${vector(16)})`),
  "v128.store": [`(v128.store offset=3 (i32.const ${RESULT}) ${vector(0)})`],
  "v128.store32_lane": [0, 2].map((lane) => `(v128.store32_lane ${lane} (i32.const ${RESULT}) ${vector(0)})`),
  "v128.store64_lane": [0, 1].map((lane) => `(v128.store64_lane ${lane} (i32.const ${RESULT}) ${vector(0)})`),
};

/** Words that are special as floats, integers, halves or bytes. */
const word = fc.oneof(
  fc.integer(),
  fc.constantFrom(0, -1, 1, 0x7fffffff, -0x80000000, 0x7fc00000, 0x7f800000, -0x800000, 1, 0x00800000),
  fc.constantFrom(
    0x80008000 | 0,
    0x7fff8000,
    0x80007fff | 0,
    0x7f80ff01,
    0x3f000000,
    0x3fc00000,
    0x4effffff,
    0x4f000000,
  ),
  fc.float({ noNaN: true }).map((value) => new Int32Array(Float32Array.of(value).buffer)[0]!),
  fc
    .float({ min: -1_000, max: 1_000, noNaN: true })
    .map((value) => new Int32Array(Float32Array.of(value).buffer)[0]!),
);
const operands = fc.array(word, { minLength: 13, maxLength: 13 });

const table = operationsOf(new binaryen.Module());
const forms = Object.entries(table).flatMap(([name, { makes, takes }]) => {
  const plain = [...takes].map((_, k) => vector(16 * k)).join(" ");
  const texts = FORMS[name] ?? [`(${name} ${plain})`];
  return texts.map((text, form) => ({
    name: `${name} ${form}`,
    makes,
    code: makes === "nothing" ? text : `(v128.store (i32.const ${RESULT}) ${text})`,
  }));
});

describe("lowering", () => {
  it("gives what the vector operation gives, for every operation, bit for bit", async () => {
    const functions = forms.map(({ name, code }) => `(func (export "${name}") ${code})`).join("\n");
    const wasm = assembled(`(module (memory (export "memory") 1) ${functions})`);
    const [vectors, scalars] = await Promise.all([wasm, lowerSimd(wasm)].map(instance));
    fc.assert(
      fc.property(operands, (values) => {
        for (const { name, makes } of forms) {
          const [expected, got] = [vectors!, scalars!].map((each) => run(each, name, values));
          // No payload of a NaN is prescribed where floats are computed.
          const isSame = makes === "f" || makes === "d" ? sameFloats : same;
          if (!isSame(expected!, got!, makes)) throw new Error(`${name}(${values}): ${got}, not ${expected}`);
        }
      }),
      { numRuns: 500, seed: 1 },
    );
  });

  it("passes vectors to functions and back", async () => {
    const wasm = assembled(`(module (memory (export "memory") 1)
      (func $f (param $a v128) (param $n i32) (param $b v128) (result v128)
        (if (result v128) (local.get $n)
          (then (call $f (local.get $b) (i32.sub (local.get $n) (i32.const 1)) (i32x4.add (local.get $a) (local.get $b))))
          (else (local.get $a))))
      (func (export "f") (v128.store (i32.const ${RESULT}) (call $f ${vector(0)} (i32.const 5) ${vector(16)}))))`);
    const [vectors, scalars] = await Promise.all([wasm, lowerSimd(wasm)].map(instance));
    const values = [1, 2, 3, 4, 50, 60, 70, 80];
    // As Fibonacci: 3 a + 5 b.
    expect([...run(vectors!, "f", values)]).toEqual([253, 306, 359, 412, 0, 0, 0, 0]);
    expect(run(scalars!, "f", values)).toEqual(run(vectors!, "f", values));
  });

  it("refuses an operation that it does not know, and names it", () => {
    const wasm = assembled(
      `(module (func (export "f") (param v128) (result v128) (i64x2.mul (local.get 0) (local.get 0))))`,
    );
    expect(() => lowerSimd(wasm)).toThrow("i64x2.mul");
  });

  it("refuses to move single bytes", () => {
    const wasm = assembled(`(module (func (export "f") (param v128) (result v128)
      (i8x16.shuffle 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1 0 (local.get 0) (local.get 0))))`);
    expect(() => lowerSimd(wasm)).toThrow("i8x16.shuffle of single bytes");
  });
});

function assembled(text: string): Uint8Array {
  const m = binaryen.parseText(text);
  m.setFeatures(binaryen.Features.SIMD128);
  const wasm = m.emitBinary();
  m.dispose();
  return wasm;
}

async function instance(wasm: Uint8Array): Promise<Instance> {
  const { exports } = await WebAssembly.instantiate(await WebAssembly.compile(wasm));
  return exports as Instance;
}

function run({ memory, ...exports }: Instance, name: string, values: readonly number[]): Int32Array {
  new Int32Array(memory.buffer).fill(0, 0, 32).set(values);
  (exports[name] as () => void)();
  return new Int32Array(memory.buffer, RESULT, 8).slice();
}

function same(a: Int32Array, b: Int32Array): boolean {
  return a.every((word, i) => word === b[i]);
}

function sameFloats(a: Int32Array, b: Int32Array, makes: string): boolean {
  const [x, y] = [a, b].map(({ buffer }) =>
    makes === "d" ? new Float64Array(buffer) : new Float32Array(buffer),
  );
  return x!.every((value, i) => Object.is(value, y![i]));
}
