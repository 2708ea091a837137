import type { Address } from "../../kernels/load.ts";
import type { Rows } from "./dot-product.ts";
import type { Site, Tensor } from "./layer.ts";

/** What an attention of several heads compares and adds up, and how it came from the layer's inputs. */
export interface Projections {
  readonly rows: { readonly query: Rows; readonly key: Rows; readonly value: Rows };
  forward(batch: number): void;
  /** From the gradients of all three. */
  backward(batch: number): void;
}

/** One of the three: an input times a kernel (channels, size), plus a bias (or 0). */
export interface Projection {
  readonly input: Tensor;
  readonly size: number;
  readonly w: Address;
  readonly b: Address;
  readonly dw: Address;
  readonly db: Address;
}

type Three = readonly [query: Projection, key: Projection, value: Projection];

export function projections(site: Site, three: Three): Projections {
  const [first, ...rest] = three.map(({ input }) => input);
  const itself = rest.every(
    ({ value, shape }) => value === first!.value && shape.every((size, i) => size === first!.shape[i]),
  );
  return itself ? joined(site, three) : separate(site, three);
}

/** A sequence that attends to itself: one product for all three, whose kernels are copied side by side. */
function joined({ kernels, maxBatch, allocate, inputs }: Site, three: Three): Projections {
  const { input } = three[0];
  const [T, C] = input.shape as [number, number];
  const stride = three.reduce((sum, { size }) => sum + size, 0);
  const w = allocate(C * stride); // (channels, sizes)
  const b = three[0].b === 0 ? 0 : allocate(stride);
  const values = allocate(maxBatch * T * stride);
  const gradients = allocate(maxBatch * T * stride);
  let start = 0;
  const [query, key, value] = three.map((projection) => {
    const bytes = start * 4;
    start += projection.size;
    return { projection, bytes, value: values + bytes, gradient: gradients + bytes, stride };
  }) as [Part, Part, Part];
  const parts = [query, key, value];
  // Each use of the input has a gradient of its own. The first that is wanted takes all.
  const [dx = 0, ...others] = [...new Set(inputs.map(({ gradient }) => gradient))].filter((to) => to !== 0);
  return {
    rows: { query, key, value },
    forward(batch) {
      for (const { projection, bytes } of parts) {
        kernels.placeColumns(projection.w, w + bytes, C, projection.size, stride);
        if (b !== 0) kernels.copy(b + bytes, projection.b, projection.size);
      }
      kernels.gemm(false, false, batch * T, stride, C, input.value, C, w, stride, values, stride, false, b);
    },
    backward(batch) {
      const rows = batch * T;
      for (const { projection, gradient } of parts) {
        const { size, dw, db } = projection;
        kernels.gemm(true, false, C, size, rows, input.value, C, gradient, stride, dw, size, true, 0);
        if (db !== 0) kernels.columnSums(gradient, stride, rows, size, db);
      }
      if (dx !== 0) kernels.gemm(false, true, rows, C, stride, gradients, stride, w, stride, dx, C, false, 0);
      for (const other of others) kernels.clear(other, rows * C);
    },
  };
}

interface Part extends Rows {
  readonly projection: Projection;
  readonly bytes: number;
}

function separate({ kernels, maxBatch, allocate }: Site, three: Three): Projections {
  const set = new Set<Address>();
  const [query, key, value] = three.map((projection) => {
    const { input, size } = projection;
    const floats = maxBatch * input.shape[0]! * size;
    // Key and value may come from one input, whose gradient the second adds to.
    const adds = set.has(input.gradient);
    set.add(input.gradient);
    return { projection, adds, value: allocate(floats), gradient: allocate(floats), stride: size };
  }) as [Separate, Separate, Separate];
  const parts = [query, key, value];
  return {
    rows: { query, key, value },
    forward(batch) {
      for (const { projection, value: to } of parts) {
        const { input, size, w, b } = projection;
        const [steps, C] = input.shape as [number, number];
        kernels.gemm(false, false, batch * steps, size, C, input.value, C, w, size, to, size, false, b);
      }
    },
    backward(batch) {
      for (const { projection, gradient, adds } of parts) {
        const { input, size, w, dw, db } = projection;
        const [steps, C] = input.shape as [number, number];
        const rows = batch * steps;
        kernels.gemm(true, false, C, size, rows, input.value, C, gradient, size, dw, size, true, 0);
        if (db !== 0) kernels.columnSums(gradient, size, rows, size, db);
        const dx = input.gradient;
        if (dx !== 0) kernels.gemm(false, true, rows, C, size, gradient, size, w, size, dx, C, adds, 0);
      }
    },
  };
}

interface Separate extends Rows {
  readonly projection: Projection;
  readonly adds: boolean;
}
