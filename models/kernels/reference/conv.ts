/** Sizes of a convolution over images (height, width, channels), channels last; a series has height 1. */
export interface ConvSizes {
  readonly input: readonly [height: number, width: number, channels: number];
  readonly output: readonly [height: number, width: number, channels: number];
  readonly kernel: readonly [height: number, width: number];
  readonly strides: readonly [number, number];
  readonly dilation: readonly [number, number];
  /** Zeros before the first row and before the first column. */
  readonly before: readonly [number, number];
}

/** One image through W (kh,kw,channels,filters), in f64. */
export function naiveConv(x: ArrayLike<number>, w: ArrayLike<number>, sizes: ConvSizes): Float64Array {
  const [C, N] = [sizes.input[2], sizes.output[2]];
  const y = new Float64Array(sizes.output[0] * sizes.output[1] * N);
  for (const { from, to, tap } of pairs(sizes)) {
    for (let n = 0; n < N; n++)
      for (let c = 0; c < C; c++) y[to * N + n]! += x[from * C + c]! * w[(tap * C + c) * N + n]!;
  }
  return y;
}

/** The adjoint of `naiveConv` in x: `output` comes in, and an image of size `input` comes out. */
export function naiveConvTranspose(
  y: ArrayLike<number>,
  w: ArrayLike<number>,
  sizes: ConvSizes,
): Float64Array {
  const [C, N] = [sizes.input[2], sizes.output[2]];
  const x = new Float64Array(sizes.input[0] * sizes.input[1] * C);
  for (const { from, to, tap } of pairs(sizes)) {
    for (let n = 0; n < N; n++)
      for (let c = 0; c < C; c++) x[from * C + c]! += y[to * N + n]! * w[(tap * C + c) * N + n]!;
  }
  return x;
}

/** The gradient of W (kh,kw,channels,filters) where `y` is the gradient of the output. */
export function naiveKernelGradient(
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  sizes: ConvSizes,
): Float64Array {
  const [C, N] = [sizes.input[2], sizes.output[2]];
  const w = new Float64Array(sizes.kernel[0] * sizes.kernel[1] * C * N);
  for (const { from, to, tap } of pairs(sizes)) {
    for (let n = 0; n < N; n++)
      for (let c = 0; c < C; c++) w[(tap * C + c) * N + n]! += x[from * C + c]! * y[to * N + n]!;
  }
  return w;
}

/** One image, each channel by itself, through W (kh,kw,channels,multiplier). */
export function naiveDepthwise(x: ArrayLike<number>, w: ArrayLike<number>, sizes: ConvSizes): Float64Array {
  const [C, N] = [sizes.input[2], sizes.output[2]];
  const y = new Float64Array(sizes.output[0] * sizes.output[1] * N);
  for (const { from, to, tap } of pairs(sizes))
    for (let n = 0; n < N; n++) y[to * N + n]! += x[from * C + Math.floor((n * C) / N)]! * w[tap * N + n]!;
  return y;
}

/** Every place of the image that a place of the output looks at, and through which element of the kernel. */
function* pairs({ input, output, kernel, strides, dilation, before }: ConvSizes) {
  for (let oy = 0; oy < output[0]; oy++)
    for (let ox = 0; ox < output[1]; ox++)
      for (let ky = 0; ky < kernel[0]; ky++)
        for (let kx = 0; kx < kernel[1]; kx++) {
          const y = oy * strides[0] - before[0] + ky * dilation[0];
          const x = ox * strides[1] - before[1] + kx * dilation[1];
          if (y < 0 || y >= input[0] || x < 0 || x >= input[1]) continue;
          yield { from: y * input[1] + x, to: oy * output[1] + ox, tap: ky * kernel[1] + kx };
        }
}
