import fc from "fast-check";
import { expect, it } from "vitest";
import {
  attentionGradients,
  attentionOutput,
  type Head,
} from "../../../models/kernels/reference/attention.ts";
import { randomFloats, relativeError } from "../engine/support.ts";
import { kernelArena } from "./arena.ts";

const size = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 12 }) },
  fc.integer({ min: 13, max: 40 }),
);

interface Case {
  readonly batch: number;
  readonly heads: number;
  readonly T: number;
  readonly S: number;
  readonly K: number;
  readonly V: number;
  readonly causal: boolean;
  readonly masks: "none" | "queries" | "keys" | "all";
  /** Weights stay in memory for the way back, or are computed again. */
  readonly kept: boolean;
  /** Some weights are left out. */
  readonly dropout: boolean;
  /** Floats between the heads of one step and those of the next. */
  readonly gap: number;
  readonly seed: number;
}

/** The kernels on a case, and how to look at one head of what they were given. */
async function attend(
  arena: Awaited<ReturnType<typeof kernelArena>>,
  { batch, heads, T, S, K, V, causal, masks, kept, dropout, gap, seed }: Case,
) {
  arena.clear();
  const scale = 0.7;
  const maskedQuery = 0.25;
  const rows = (count: number, channels: number, i: number) => {
    const stride = heads * channels + gap;
    return { ...arena.put(randomFloats(batch * count * stride, seed + i, 2)), stride, channels, count };
  };
  const [q, k, v, o] = [rows(T, K, 1), rows(S, K, 2), rows(S, V, 3), rows(T, V, 4)];
  const [dq, dk, dv, dO] = [rows(T, K, 5), rows(S, K, 6), rows(S, V, 7), rows(T, V, 8)];
  const mask = (count: number, i: number) =>
    arena.put(randomFloats(batch * count, seed + i).map((value) => (value > -0.3 ? 1 : 0)));
  const queryMask = masks === "queries" || masks === "all" ? mask(T, 9) : undefined;
  const keyMask = masks === "keys" || masks === "all" ? mask(S, 10) : undefined;
  const valueMask = masks === "all" ? mask(S, 11) : undefined;
  const weights = kept ? arena.put(new Float32Array(batch * heads * T * S)).address : 0;
  const scratch = arena.put(new Float32Array(arena.kernels.attentionFloats(T, S, K, V)).fill(Number.NaN));
  const factors = dropout
    ? arena.put(randomFloats(batch * heads * T * S, seed + 12).map((value) => (value > -0.4 ? 1 / 0.7 : 0)))
    : undefined;
  const common = [
    factors?.address ?? 0,
    queryMask?.address ?? 0,
    keyMask?.address ?? 0,
    valueMask?.address ?? 0,
    maskedQuery,
    causal,
    scale,
    batch,
    heads,
    T,
    S,
    K,
    V,
    scratch.address,
  ] as const;
  const inputs = [q, k, v].flatMap((part) => [part.address, part.stride]);
  const [q0, q1, k0, k1, v0, v1] = inputs as [number, number, number, number, number, number];
  arena.kernels.attentionForward(q0, q1, k0, k1, v0, v1, o.address, o.stride, weights, ...common);
  scratch.view.fill(Number.NaN);
  const gradients = [dq.address, dk.address, dv.address] as const;
  arena.kernels.attentionBackward(
    q0,
    q1,
    k0,
    k1,
    v0,
    v1,
    dO.address,
    dO.stride,
    weights,
    ...gradients,
    ...common,
  );

  const cut = ({ view, stride, channels, count }: typeof q, b: number, h: number) =>
    Float64Array.from({ length: count * channels }, (_, i) => {
      const [step, channel] = [Math.floor(i / channels), i % channels];
      return view[(b * count + step) * stride + h * channels + channel]!;
    });
  const maskOf = (masked: { view: Float32Array } | undefined, count: number, b: number) =>
    masked?.view.subarray(b * count, (b + 1) * count);
  const headOf = (b: number, h: number): Head => {
    const [first, second] = [maskOf(keyMask, S, b), maskOf(valueMask, S, b)];
    return {
      q: cut(q, b, h),
      k: cut(k, b, h),
      v: cut(v, b, h),
      ...{ T, S, K, V, scale, causal, maskedQuery },
      factors: factors?.view.subarray((b * heads + h) * T * S, (b * heads + h + 1) * T * S),
      queryMask: maskOf(queryMask, T, b),
      keyMask: first?.map((value, s) => value * (second?.[s] ?? 1)),
    };
  };
  return { headOf, cut, got: { o, dO, dq, dk, dv } };
}

const anyCase: fc.Arbitrary<Case> = fc.record({
  batch: fc.integer({ min: 1, max: 3 }),
  heads: fc.integer({ min: 1, max: 3 }),
  T: size,
  S: size,
  K: size,
  V: size,
  causal: fc.boolean(),
  masks: fc.constantFrom("none", "queries", "keys", "all"),
  kept: fc.boolean(),
  dropout: fc.boolean(),
  gap: fc.integer({ min: 0, max: 5 }),
  seed: fc.integer(),
});

const largest = (values: ArrayLike<number>) => Math.max(...Array.from(values, Math.abs));

it("attention - weights softmax(q.k) over values, for any size, stride and mask", async () => {
  const arena = await kernelArena();
  await fc.assert(
    fc.asyncProperty(anyCase, async (given) => {
      const { headOf, cut, got } = await attend(arena, given);
      for (let b = 0; b < given.batch; b++)
        for (let h = 0; h < given.heads; h++)
          // An output is a mean of values that may cancel: what rounding leaves is as large as they are, not as it.
          expect(
            relativeError(cut(got.o, b, h), attentionOutput(headOf(b, h)), largest(headOf(b, h).v)),
          ).toBeLessThan(1e-5);
      expect(arena.intact()).toBe(true);
    }),
    { numRuns: 300 },
  );
});

it("attention - the gradients of queries, keys and values are those of the reference", async () => {
  const arena = await kernelArena();
  await fc.assert(
    fc.asyncProperty(anyCase, async (given) => {
      const { headOf, cut, got } = await attend(arena, given);
      for (let b = 0; b < given.batch; b++)
        for (let h = 0; h < given.heads; h++) {
          const head = headOf(b, h);
          const dO = cut(got.dO, b, h);
          const expected = attentionGradients(head, dO);
          // Sums of what may cancel, as above: a score's slope is as large as dO v, and goes on to the queries by the keys.
          const slope = head.scale * largest(dO) * largest(head.v);
          expect(relativeError(cut(got.dq, b, h), expected.q, slope * largest(head.k)), "dq").toBeLessThan(
            2e-5,
          );
          expect(relativeError(cut(got.dk, b, h), expected.k, slope * largest(head.q)), "dk").toBeLessThan(
            2e-5,
          );
          expect(relativeError(cut(got.dv, b, h), expected.v, largest(dO)), "dv").toBeLessThan(1e-5);
        }
      expect(arena.intact()).toBe(true);
    }),
    { numRuns: 300 },
  );
});

it("attention - the reference's gradients are the slopes of its output", async () => {
  const arena = await kernelArena();
  const sizes = { batch: 1, heads: 1, T: 6, S: 5, K: 4, V: 3, gap: 0, kept: true, dropout: true };
  for (const [seed, masks] of (["none", "queries", "keys", "all"] as const).entries()) {
    for (const causal of [false, true]) {
      const { headOf, cut, got } = await attend(arena, { ...sizes, masks, causal, seed });
      const head = headOf(0, 0);
      const dO = cut(got.dO, 0, 0);
      const gradients = attentionGradients(head, dO);
      for (const key of ["q", "k", "v"] as const)
        expect(relativeError(gradients[key], slopes(head, key, dO)), key).toBeLessThan(1e-7);
    }
  }
});

it("attention - a long sequence in several blocks is one with the whole", async () => {
  const arena = await kernelArena();
  const shape = { batch: 2, heads: 2, T: 150, S: 300, K: 9, V: 5, gap: 3, seed: 1 } as const;
  for (const causal of [false, true]) {
    for (const masks of ["none", "keys"] as const) {
      for (const kept of [false, true]) {
        const { headOf, cut, got } = await attend(arena, {
          ...shape,
          ...{ causal, masks, kept },
          dropout: causal === kept,
        });
        const expected = attentionGradients(headOf(1, 1), cut(got.dO, 1, 1));
        expect(relativeError(cut(got.o, 1, 1), attentionOutput(headOf(1, 1)))).toBeLessThan(1e-5);
        expect(relativeError(cut(got.dq, 1, 1), expected.q)).toBeLessThan(2e-5);
        expect(relativeError(cut(got.dk, 1, 1), expected.k)).toBeLessThan(2e-5);
        expect(relativeError(cut(got.dv, 1, 1), expected.v)).toBeLessThan(2e-5);
        expect(arena.intact()).toBe(true);
      }
    }
  }
});

/** d(sum of dO O)/dx by central differences in f64, whose rounding leaves about nine digits. */
function slopes(head: Head, key: "q" | "k" | "v", dO: Float64Array): Float64Array {
  const step = 1e-5;
  const x = Float64Array.from(head[key]);
  const at = (i: number, value: number) => {
    const moved = x.slice();
    moved[i] = value;
    return attentionOutput({ ...head, [key]: moved }).reduce((sum, out, j) => sum + out * dO[j]!, 0);
  };
  return x.map((value, i) => (at(i, value + step) - at(i, value - step)) / (2 * step));
}
