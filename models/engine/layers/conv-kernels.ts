import type { Address, Kernels } from "../../kernels/load.ts";
import { CONV_SHAPE_FLOATS, describe, type Geometry, simplified } from "./conv-geometry.ts";

/** A convolution at its place in the arena, computed in the way that is fastest for its sizes. Addresses may be 0 as for the kernels. */
export interface BoundConv {
  /** y = f(x * w + b). kept: as for `BoundLayer.forward`. */
  forward(
    batch: number,
    code: number,
    at: { x: Address; w: Address; b: Address; y: Address },
    kept?: boolean,
  ): void;
  /** dx =, dw and db +=; dy becomes the gradient before the activation. */
  backward(
    batch: number,
    code: number,
    at: {
      x: Address;
      w: Address;
      y: Address;
      dy: Address;
      dx: Address;
      dw: Address;
      db: Address;
    },
  ): void;
}

interface Arena {
  readonly kernels: Kernels;
  allocate(floats: number): Address;
}

/** Takes the scratch that the convolution wants from the arena. */
export function bindConv({ kernels, allocate }: Arena, full: Geometry): BoundConv {
  const { geometry, images } = simplified(full);
  const shape = allocate(CONV_SHAPE_FLOATS);
  const plane = isPlane(geometry);
  const minimal = plane ? null : minimalForm(geometry);
  if (minimal === null) {
    const floats = directScratchFloats(geometry);
    const scratch = allocate(plane ? Math.max(floats, planeScratchFloats(geometry)) : floats);
    const forward = plane ? kernels.planeForward : kernels.convForward;
    return {
      forward(batch, code, { x, w, b, y }) {
        describe(kernels, shape, geometry);
        forward(shape, x, w, b, y, batch * images, code, scratch);
      },
      backward(batch, code, { x, w, y, dy, dx, dw, db }) {
        describe(kernels, shape, geometry);
        kernels.convBackward(shape, x, w, y, dy, dx, dw, db, batch * images, code, scratch);
      },
    };
  }
  const { tiles, planar } = minimal;
  const scratch = allocate(minimalScratchFloats(geometry, minimal));
  const backward = planar ? kernels.winogradBackward : kernels.seriesBackward;
  return {
    forward(batch, code, { x, w, b, y }, kept = false) {
      describe(kernels, shape, geometry);
      const count = batch * images;
      if (planar) kernels.winogradForward(shape, x, w, b, y, count, code, scratch, tiles, kept);
      else kernels.seriesForward(shape, x, w, b, y, count, code, scratch, tiles);
    },
    backward(batch, code, { x, w, y, dy, dx, dw, db }) {
      describe(kernels, shape, geometry);
      backward(shape, x, w, y, dy, dx, dw, db, batch * images, code, scratch, tiles);
    },
  };
}

/** A packed kernel, and rows of patches or one padded series. */
function directScratchFloats({ input, output, kernel, strides, before }: Geometry): number {
  const [N, K] = [output[2], kernel[0] * kernel[1] * input[2]];
  const rows = Math.max(16, Math.min(256, Math.floor(32_768 / K)));
  const series = Math.max(before[1] + input[1], (output[1] - 1) * strides[1] + kernel[1]) * input[2];
  return Math.max(packedFloats(K, N), packedFloats(N, K)) + Math.max(rows * K, series) + 4;
}

/** 3x3 on one channel, the first layer of an image network: forward has a kernel of its own. */
export function isPlane({ input, kernel, strides, dilation }: Geometry): boolean {
  return input[2] === 1 && kernel[0] === 3 && kernel[1] === 3 && [...strides, ...dilation].every(isOne);
}

/** The padded image and a row, each float spread to four. */
function planeScratchFloats({ output }: Geometry): number {
  return 4 * (output[0] + 3) * (output[1] + 2);
}

/** Minimal filtering: fewer multiplications for a tile of outputs, at the price of transforms. */
interface MinimalForm {
  readonly planar: boolean;
  /** Products for one tile and each pair of channels. */
  readonly products: number;
  /** Worked on at a time. */
  readonly tiles: number;
}

/** V and M take no more: half of a usual L2. */
const BLOCK_FLOATS = 131_072;
/** Of the direct form's cost, below which the minimal one is taken. */
const ADVANTAGE = 0.9;

/**
 * The minimal form of a convolution; null where there is none or where it would not be faster. Counted in instructions: one for a
 * product and its sum, and so many for each channel of a tile's transforms in and out.
 */
export function minimalForm({ input, output, kernel, strides, dilation }: Geometry): MinimalForm | null {
  if (![...strides, ...dilation].every(isOne)) return null;
  const planar = kernel[0] === 3 && kernel[1] === 3;
  if (!planar && !(kernel[0] === 1 && input[0] === 1 && kernel[1] >= 3 && kernel[1] <= 8)) return null;
  const [C, N] = [input[2], output[2]];
  const edge = planar ? 4 : 11 - kernel[1];
  const products = planar ? 36 : 10;
  const [costIn, costOut] = planar ? [78, 55] : [30, 25];
  const tiles = Math.ceil(output[0] / edge) * Math.ceil(output[1] / edge);
  const direct = output[0] * output[1] * kernel[0] * kernel[1] * C * N;
  if (tiles * (products * C * N + costIn * C + costOut * N) > ADVANTAGE * direct) return null;
  const fitting = Math.floor(BLOCK_FLOATS / (products * (C + N)) / 2) * 2;
  return { planar, products, tiles: Math.min(64, Math.max(8, fitting)) };
}

/** So many each of U, U packed (or dU), V and M, a cache line apart, and one image under a tile. */
function minimalScratchFloats({ input, output }: Geometry, { products, tiles }: MinimalForm): number {
  const [C, N] = [input[2], output[2]];
  const pitch = (floats: number) => Math.ceil(floats / 16) * 16 + 16;
  const packed = pitch(Math.max(packedFloats(C, N), packedFloats(N, C)));
  return products * (pitch(C * N) + packed + pitch(tiles * C) + pitch(tiles * N) + Math.max(C, N)) + 4;
}

function isOne(step: number): boolean {
  return step === 1;
}

/** Panels of 16 columns and perhaps one of 8, as models/kernels/assembly/gemm.ts packs a (k, n) matrix. */
function packedFloats(k: number, n: number): number {
  return k * Math.ceil(n / 8) * 8;
}
