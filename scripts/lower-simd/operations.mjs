// What lower-simd.mjs puts in the place of each vector operation, by its name in the text format. The kernels' operations
// are here and few others: one that is missing is refused by name, and its meaning is looked up then.
// Source: WebAssembly Core Specification 2.0, section 4.3.2 (numerics; pmin and pmax compare in this order for the sake of NaN and -0).
import binaryen from "assemblyscript/binaryen";

/** How a vector can be held: in how many locals of which type. */
export const KINDS = {
  f: { count: 4, type: binaryen.f32 },
  i: { count: 4, type: binaryen.i32 },
  d: { count: 2, type: binaryen.f64 },
};

/**
 * The operations of module m, each { makes, takes, lanes, acrossLanes }.
 * makes: the kind of the result; "any": f or i, as wanted; "scalar": one number; "nothing": statements, for a store.
 * takes: the kind of each vector operand, one letter each; a: the same as "any".
 * lanes(operands, info, kind): the lanes of the result. An operand is an array of functions, one a lane, that each make a new
 * expression which reads it; `kind` is what "any" became. `info`: { scalar, access, index, mask }, where scalar() reads the scalar
 * operand and access(offset) gives offset and address for a load or store of 4 bytes.
 * acrossLanes: whether a lane of the result reads others of an operand than its own.
 */
export function operationsOf(m) {
  const { f32, i32, f64, select } = m;
  const int = (value) => i32.const(value);
  const not = (x) => i32.xor(x, int(-1));

  const perLane = (makes, takes, operation) => ({
    makes,
    takes,
    acrossLanes: false,
    lanes: (operands, info) =>
      operands[0].map((_, lane) => operation(...operands.map((operand) => operand[lane]), info)),
  });
  const mixed = (makes, takes, lanes) => ({ makes, takes, acrossLanes: true, lanes });
  const named = (shape, names, entry) =>
    Object.fromEntries(names.map((name) => [`${shape}.${name}`, entry(name)]));
  /** All bits of a lane are set where it holds. */
  const compare = (takes, operation) => perLane("i", takes, (a, b) => i32.sub(int(0), operation(a(), b())));

  /** Of two 16-bit numbers in an i32. */
  const half = (x, which) => (which === 0 ? i32.extend16_s(x()) : i32.shr_s(x(), int(16)));
  const byte = (x, which) => i32.shr_s(i32.shl(x(), int(24 - 8 * which)), int(24));
  /** Small signed numbers in one i32, the first in the lowest bits. */
  const pack = (bits, parts) =>
    parts
      .map((part, k) => i32.shl(i32.and(part, int(2 ** bits - 1)), int(bits * k)))
      .reduce((all, part) => i32.or(all, part));
  const saturated = (bits, x) => {
    const [low, high] = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
    const notTooHigh = select(i32.gt_s(x(), int(high)), int(high), x());
    return select(i32.lt_s(x(), int(low)), int(low), notTooHigh);
  };

  const zeros = (kind, count) => Array.from({ length: count }, () => (kind === "f" ? f32.const(0) : int(0)));
  const loads = (kind, access, offsets) =>
    offsets.map((at) => {
      const { offset, address } = access(at);
      if (kind === "f") return f32.load(offset, 4, address);
      const load = i32.load(offset, 4, address);
      // Or Binaryen makes a load that extends the sign of it and a later i64.extend_i32_u.
      binaryen.Load.setSigned(load, false);
      return load;
    });
  const stores = (kind, access, lanes) =>
    lanes.map((lane, k) => {
      const { offset, address } = access(4 * k);
      return (kind === "f" ? f32 : i32).store(offset, 4, address, lane());
    });
  /** One lane of the vector, or two beside each other, is replaced by what stands in memory. */
  const loadLanes = (count) =>
    mixed("any", "a", ([a], { access, index }, kind) => {
      const loaded = loads(kind, access, [0, 4].slice(0, count));
      return a.map((lane, k) => loaded[k - index * count] ?? lane());
    });
  const storeLanes = (count) =>
    mixed("nothing", "a", ([a], { access, index }, kind) =>
      stores(kind, access, a.slice(index * count, (index + 1) * count)),
    );

  return {
    ...named("f32x4", ["add", "sub", "mul", "div", "min", "max"], (name) =>
      perLane("f", "ff", (a, b) => f32[name](a(), b())),
    ),
    ...named("f32x4", ["abs", "neg", "sqrt", "ceil", "floor", "trunc", "nearest"], (name) =>
      perLane("f", "f", (a) => f32[name](a())),
    ),
    "f32x4.pmin": perLane("f", "ff", (a, b) => select(f32.lt(b(), a()), b(), a())),
    "f32x4.pmax": perLane("f", "ff", (a, b) => select(f32.lt(a(), b()), b(), a())),
    ...named("f32x4", ["eq", "ne", "lt", "le", "gt", "ge"], (name) => compare("ff", f32[name])),
    ...named("i32x4", ["eq", "ne", "lt_s", "lt_u", "le_s", "le_u", "gt_s", "gt_u", "ge_s", "ge_u"], (name) =>
      compare("ii", i32[name]),
    ),
    "f32x4.convert_i32x4_s": perLane("f", "i", (a) => f32.convert_s.i32(a())),
    "f32x4.convert_i32x4_u": perLane("f", "i", (a) => f32.convert_u.i32(a())),
    "i32x4.trunc_sat_f32x4_s": perLane("i", "f", (a) => i32.trunc_s_sat.f32(a())),

    ...named("i32x4", ["add", "sub", "mul"], (name) => perLane("i", "ii", (a, b) => i32[name](a(), b()))),
    ...named("i32x4", ["shl", "shr_s", "shr_u"], (name) =>
      perLane("i", "i", (a, { scalar }) => i32[name](a(), scalar())),
    ),
    "i32x4.neg": perLane("i", "i", (a) => i32.sub(int(0), a())),
    "i32x4.max_s": perLane("i", "ii", (a, b) => select(i32.gt_s(a(), b()), a(), b())),
    "i32x4.min_s": perLane("i", "ii", (a, b) => select(i32.lt_s(a(), b()), a(), b())),
    ...named("v128", ["and", "or", "xor"], (name) => perLane("i", "ii", (a, b) => i32[name](a(), b()))),
    "v128.not": perLane("i", "i", (a) => not(a())),
    "v128.andnot": perLane("i", "ii", (a, b) => i32.and(a(), not(b()))),
    "v128.bitselect": perLane("i", "iii", (a, b, mask) => i32.xor(b(), i32.and(i32.xor(a(), b()), mask()))),

    "i32x4.dot_i16x8_s": perLane("i", "ii", (a, b) =>
      i32.add(i32.mul(half(a, 0), half(b, 0)), i32.mul(half(a, 1), half(b, 1))),
    ),
    ...named("i32x4", ["extend_low_i16x8_s", "extend_high_i16x8_s"], (name) =>
      mixed("i", "i", ([a]) =>
        a.slice(...(name.includes("low") ? [0, 2] : [2, 4])).flatMap((x) => [half(x, 0), half(x, 1)]),
      ),
    ),
    ...named("i16x8", ["extend_low_i8x16_s", "extend_high_i8x16_s"], (name) =>
      mixed("i", "i", ([a]) =>
        a
          .slice(...(name.includes("low") ? [0, 2] : [2, 4]))
          .flatMap((x) => [pack(16, [byte(x, 0), byte(x, 1)]), pack(16, [byte(x, 2), byte(x, 3)])]),
      ),
    ),
    "v128.load8x8_s": mixed("i", "", (_, { access }) =>
      [0, 2, 4, 6].map((at) => {
        const bytes = [access(at), access(at + 1)];
        return pack(
          16,
          bytes.map(({ offset, address }) => i32.load8_s(offset, 1, address)),
        );
      }),
    ),
    "i16x8.narrow_i32x4_s": mixed("i", "ii", ([a, b]) =>
      [a.slice(0, 2), a.slice(2), b.slice(0, 2), b.slice(2)].map((pair) =>
        pack(
          16,
          pair.map((x) => saturated(16, x)),
        ),
      ),
    ),
    "i8x16.narrow_i16x8_s": mixed("i", "ii", ([a, b]) =>
      [a.slice(0, 2), a.slice(2), b.slice(0, 2), b.slice(2)].map((pair) =>
        pack(
          8,
          pair.flatMap((x) => [0, 1].map((which) => saturated(8, () => half(x, which)))),
        ),
      ),
    ),
    "i8x16.eq": perLane("i", "ii", (a, b) => {
      // The top bit of each byte of `differs` that is 0, spread over the byte.
      const differs = () => i32.xor(a(), b());
      const carries = i32.add(i32.and(differs(), int(0x7f7f7f7f)), int(0x7f7f7f7f));
      const equal = not(i32.or(i32.or(carries, differs()), int(0x7f7f7f7f)));
      return i32.mul(i32.shr_u(equal, int(7)), int(255));
    }),

    ...named("f64x2", ["add", "sub", "mul"], (name) => perLane("d", "dd", (a, b) => f64[name](a(), b()))),
    "f64x2.promote_low_f32x4": mixed("d", "f", ([a]) => [f64.promote(a[0]()), f64.promote(a[1]())]),

    "f32x4.splat": mixed("f", "", (_, { scalar }) => [0, 1, 2, 3].map(scalar)),
    "i32x4.splat": mixed("i", "", (_, { scalar }) => [0, 1, 2, 3].map(scalar)),
    "f32x4.replace_lane": mixed("f", "f", ([a], { index, scalar }) =>
      a.map((lane, k) => (k === index ? scalar() : lane())),
    ),
    "f32x4.extract_lane": mixed("scalar", "f", ([a], { index }) => [a[index]()]),
    "i32x4.extract_lane": mixed("scalar", "i", ([a], { index }) => [a[index]()]),
    "f64x2.extract_lane": mixed("scalar", "d", ([a], { index }) => [a[index]()]),
    "i32x4.bitmask": mixed("scalar", "i", ([a]) => [
      a
        .map((lane, k) => i32.and(i32.shr_u(lane(), int(31 - k)), int(1 << k)))
        .reduce((all, bit) => i32.or(all, bit)),
    ]),
    "v128.any_true": mixed("scalar", "i", ([a]) => [
      i32.ne(
        a.map((lane) => lane()).reduce((all, lane) => i32.or(all, lane)),
        int(0),
      ),
    ]),
    copy: perLane("any", "a", (a) => a()),
    select: perLane("any", "aa", (a, b, { scalar }) => select(scalar(), a(), b())),
    // Whole lanes alone; the kernels move no single bytes.
    "i8x16.shuffle": mixed("any", "aa", ([a, b], { mask }) =>
      [0, 4, 8, 12].map((k) => {
        const whole = mask[k] % 4 === 0 && [1, 2, 3].every((j) => mask[k + j] === mask[k] + j);
        if (!whole) throw new Error(`i8x16.shuffle of single bytes (${mask}) cannot be lowered`);
        return [...a, ...b][mask[k] / 4]();
      }),
    ),

    "v128.load": mixed("any", "", (_, { access }, kind) => loads(kind, access, [0, 4, 8, 12])),
    "v128.load32_splat": mixed("any", "", (_, { access }, kind) => loads(kind, access, [0, 0, 0, 0])),
    "v128.load32_zero": mixed("any", "", (_, { access }, kind) => [
      ...loads(kind, access, [0]),
      ...zeros(kind, 3),
    ]),
    "v128.load64_zero": mixed("any", "", (_, { access }, kind) => [
      ...loads(kind, access, [0, 4]),
      ...zeros(kind, 2),
    ]),
    "v128.load32_lane": loadLanes(1),
    "v128.load64_lane": loadLanes(2),
    "v128.store": mixed("nothing", "a", ([a], { access }, kind) => stores(kind, access, a)),
    "v128.store32_lane": storeLanes(1),
    "v128.store64_lane": storeLanes(2),
  };
}
