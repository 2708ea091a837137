import fc from "fast-check";
import { expect, it } from "vitest";
import type { Geometry } from "../../../models/engine/layers/conv-geometry.ts";
import { simplified } from "../../../models/engine/layers/conv-geometry.ts";
import { bindConv, isPlane, minimalForm } from "../../../models/engine/layers/conv-kernels.ts";
import { sizeOf } from "../../../models/engine/shape.ts";
import {
  naiveConv,
  naiveConvTranspose,
  naiveKernelGradient,
} from "../../../models/kernels/reference/conv.ts";
import { randomFloats, relativeError } from "../engine/support.ts";
import { kernelArena } from "./arena.ts";

const LINEAR = 0;
const BATCH = 3;

const between = (min: number, max: number) => fc.integer({ min, max });
const pair = (first: fc.Arbitrary<number>, second: fc.Arbitrary<number>) => fc.tuple(first, second);

interface Window {
  readonly image: readonly [number, number];
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly dilation: readonly [number, number];
  readonly before: readonly [number, number];
  readonly after: readonly [number, number];
  readonly channels: readonly [number, number];
}

const one = fc.constant(1);
const zero = fc.constant(0);
/** Anything, in few channels. */
const windows: fc.Arbitrary<Window> = fc.record({
  image: pair(between(1, 7), between(1, 9)),
  kernel: pair(between(1, 3), between(1, 4)),
  strides: pair(between(1, 3), between(1, 3)),
  dilation: pair(between(1, 2), between(1, 2)),
  before: pair(between(0, 3), between(0, 4)),
  after: pair(between(0, 3), between(0, 4)),
  channels: pair(between(1, 7), between(1, 18)),
});
const images3x3: fc.Arbitrary<Window> = fc.record({
  image: pair(between(3, 12), between(3, 12)),
  kernel: fc.constant([3, 3] as const),
  strides: pair(one, one),
  dilation: pair(one, one),
  before: pair(between(0, 2), between(0, 2)),
  after: pair(between(0, 2), between(0, 2)),
  channels: pair(between(5, 21), between(5, 21)),
});
/** The first layer of an image network. */
const planes: fc.Arbitrary<Window> = fc.record({
  image: pair(between(1, 9), between(1, 9)),
  kernel: fc.constant([3, 3] as const),
  strides: pair(one, one),
  dilation: pair(one, one),
  before: pair(between(0, 2), between(0, 2)),
  after: pair(between(0, 2), between(0, 2)),
  channels: pair(one, between(1, 21)),
});
const series: fc.Arbitrary<Window> = fc.record({
  image: pair(between(1, 2), between(3, 60)),
  kernel: pair(one, between(1, 9)),
  strides: pair(one, fc.oneof({ weight: 4, arbitrary: one }, between(2, 3))),
  dilation: pair(one, one),
  before: pair(zero, between(0, 7)),
  after: pair(zero, between(0, 7)),
  channels: pair(between(3, 21), between(3, 21)),
});

function geometryOf({ image, kernel, strides, dilation, before, after, channels }: Window): Geometry | null {
  const along = (axis: 0 | 1) =>
    Math.floor(
      (image[axis] + before[axis] + after[axis] - (kernel[axis] - 1) * dilation[axis] - 1) / strides[axis],
    ) + 1;
  const [rows, columns] = [along(0), along(1)];
  if (rows < 1 || columns < 1) return null;
  return {
    input: [image[0], image[1], channels[0]],
    output: [rows, columns, channels[1]],
    kernel,
    strides,
    dilation,
    before,
  };
}

it("convolutions - forward and both ways back are those of the plain loops, for any window, in every form", async () => {
  const arena = await kernelArena();
  const forms = { direct: 0, plane: 0, images: 0, series: 0 };
  fc.assert(
    fc.property(fc.oneof(windows, planes, images3x3, series), fc.integer(), (window, seed) => {
      const geometry = geometryOf(window);
      fc.pre(geometry !== null);
      const simple = simplified(geometry).geometry;
      const form = isPlane(simple) ? null : minimalForm(simple);
      forms[isPlane(simple) ? "plane" : form === null ? "direct" : form.planar ? "images" : "series"] += 1;
      arena.clear();
      const { input, output, kernel } = geometry;
      const [inputSize, outputSize] = [sizeOf(input), sizeOf(output)];
      const weights = kernel[0] * kernel[1] * input[2] * output[2];
      const put = (length: number, at: number) => arena.put(randomFloats(length, seed + at));
      const [x, w, b] = [put(BATCH * inputSize, 1), put(weights, 2), put(output[2], 3)];
      const [y, dy] = [put(BATCH * outputSize, 4), put(BATCH * outputSize, 5)];
      const [dx, dw, db] = [put(BATCH * inputSize, 6), put(weights, 7), put(output[2], 8)];
      const [dwBefore, dbBefore] = [dw.view.slice(), db.view.slice()];
      const bound = bindConv(
        {
          kernels: arena.kernels,
          allocate: (floats) => arena.put(new Float32Array(floats).fill(Number.NaN)).address,
        },
        geometry,
      );
      const at = { x: x.address, w: w.address, b: b.address, y: y.address };
      bound.forward(BATCH, LINEAR, at);
      if (form?.planar) {
        // What was derived from the weights is used again, and the weights are not read.
        const [first, before] = [y.view.slice(), w.view.slice()];
        y.view.fill(0);
        w.view.fill(Number.NaN);
        bound.forward(BATCH, LINEAR, at, true);
        expect(y.view).toEqual(first);
        w.view.set(before);
      }
      bound.backward(BATCH, LINEAR, {
        ...at,
        dy: dy.address,
        dx: dx.address,
        dw: dw.address,
        db: db.address,
      });

      const expected = { y: [] as number[], dx: [] as number[], dw: [...dwBefore], db: [...dbBefore] };
      for (let i = 0; i < BATCH; i++) {
        const image = x.view.subarray(i * inputSize, (i + 1) * inputSize);
        const gradient = dy.view.subarray(i * outputSize, (i + 1) * outputSize);
        expected.y.push(...naiveConv(image, w.view, geometry).map((v, k) => v + b.view[k % output[2]]!));
        expected.dx.push(...naiveConvTranspose(gradient, w.view, geometry));
        naiveKernelGradient(image, gradient, geometry).forEach((v, k) => {
          expected.dw[k]! += v;
        });
        gradient.forEach((v, k) => {
          expected.db[k % output[2]]! += v;
        });
      }
      expect(relativeError(y.view, expected.y)).toBeLessThan(1e-5);
      expect(relativeError(dx.view, expected.dx)).toBeLessThan(1e-5);
      expect(relativeError(dw.view, expected.dw)).toBeLessThan(1e-5);
      expect(relativeError(db.view, expected.db)).toBeLessThan(1e-5);
      expect(arena.intact()).toBe(true);
    }),
    { numRuns: 400, seed: 1 },
  );
  expect(Math.min(...Object.values(forms))).toBeGreaterThan(40);
});
