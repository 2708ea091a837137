import type { Address, Kernels } from "../../kernels/load.ts";
import type { Shape } from "../shape.ts";

/** Axes of the kernels' gather and scatterAdd. */
const AXES = 5;

/**
 * A tensor that is another one read in other steps: transposed where the strides change places, repeated where a stride is 0. One sample's
 * sizes and the strides, in floats, by which each axis moves through the source, whose samples are `sourceSize` floats apart.
 */
export interface View {
  /** to (packed) = the source seen this way. */
  gather(kernels: Kernels, from: Address, to: Address, batch: number): void;
  /** The way back: adds to each source element what came of it. */
  scatterAdd(kernels: Kernels, from: Address, to: Address, batch: number): void;
}

interface Axis {
  readonly size: number;
  readonly stride: number;
}

/** null where the axes are too many for the kernels, even with neighbours joined that move as one. */
export function viewOf(sizes: Shape, strides: readonly number[], sourceSize: number): View | null {
  const inner = join(sizes.map((size, i) => ({ size, stride: strides[i]! })).filter(({ size }) => size > 1));
  if (inner.length === 0) inner.push({ size: 1, stride: 1 });
  let outer: Axis = { size: 1, stride: sourceSize }; // times the batch
  if (inner.length === AXES && sourceSize === inner[0]!.size * inner[0]!.stride) outer = inner.shift()!;
  if (inner.length >= AXES) return null;
  while (inner.length < AXES - 1) inner.unshift({ size: 1, stride: 0 });
  const [a, b, c, d] = inner as [Axis, Axis, Axis, Axis];
  return {
    gather(kernels, from, to, batch) {
      const count = outer.size * batch;
      kernels.gather(
        from,
        to,
        count,
        a.size,
        b.size,
        c.size,
        d.size,
        outer.stride,
        a.stride,
        b.stride,
        c.stride,
        d.stride,
      );
    },
    scatterAdd(kernels, from, to, batch) {
      const count = outer.size * batch;
      kernels.scatterAdd(
        from,
        to,
        count,
        a.size,
        b.size,
        c.size,
        d.size,
        outer.stride,
        a.stride,
        b.stride,
        c.stride,
        d.stride,
      );
    },
  };
}

/** The strides of a packed tensor. */
export function stridesOf(shape: Shape): number[] {
  const strides: number[] = [];
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i]!;
  }
  return strides;
}

/** Neighbouring axes that step through the source as one become one. */
function join(axes: readonly Axis[]): Axis[] {
  const joined: Axis[] = [];
  for (const axis of axes) {
    const last = joined.at(-1);
    if (last !== undefined && last.stride === axis.size * axis.stride)
      joined[joined.length - 1] = { size: last.size * axis.size, stride: axis.stride };
    else joined.push(axis);
  }
  return joined;
}
