/** Below it a channel (or an input) counts as zero: the reciprocal of a step would leave the floats. */
const TINY = 1e-30;
const LEVELS = 127;

/** A layer's kernel in 8-bit integers, symmetric: w = scales[channel] * values. */
export interface Int8Channels {
  /** As the weight lies: channels last. */
  readonly values: Int8Array;
  /** The step of each output channel. */
  readonly scales: Float32Array;
}

/** To the nearest of 255 steps, one step size a channel: off by half a step at most. Source: Jacob et al. 2018, arXiv 1712.05877, section 2; Krishnamoorthi 2018, arXiv 1806.08342, section 3.1. */
export function quantizeChannels(weights: Float32Array, channels: number): Int8Channels {
  const scales = new Float32Array(channels);
  weights.forEach((w, i) => {
    scales[i % channels] = Math.max(scales[i % channels]!, Math.abs(w));
  });
  scales.forEach((most, channel) => {
    scales[channel] = most < TINY ? 1 : most / LEVELS;
  });
  const values = Int8Array.from(weights, (w, i) =>
    Math.max(-LEVELS, Math.min(LEVELS, Math.round(w / scales[i % channels]!))),
  );
  return { values, scales };
}

export function dequantizeChannels({ values, scales }: Int8Channels): Float32Array {
  return Float32Array.from(values, (q, i) => q * scales[i % scales.length]!);
}

/** What an input may be in 256 steps: x = scale * q, whole q from lo to hi. Zero is always one of them. */
export interface Int8Range {
  readonly scale: number;
  readonly lo: number;
  readonly hi: number;
}

/** The steps that reach from `min` to `max`, and to zero. */
export function rangeOf(min: number, max: number): Int8Range {
  const [least, most] = [Math.min(0, min), Math.max(0, max)];
  if (most - least < TINY) return { scale: 1, lo: 0, hi: 255 };
  const scale = (most - least) / 255;
  const lo = Math.round(least / scale);
  return { scale, lo, hi: lo + 255 };
}

/** A kernel (K, N) in the order of models/kernels/assembly/int8.ts: (N/4, K/8, 4, 8), zero past its ends. */
export function packInt8(values: Int8Array, channels: number): Int8Array {
  const K = values.length / channels;
  const steps = Math.ceil(K / 8);
  const packed = new Int8Array(Math.ceil(channels / 4) * steps * 32);
  values.forEach((value, i) => {
    const [k, n] = [Math.floor(i / channels), i % channels];
    packed[((n >> 2) * steps + (k >> 3)) * 32 + (n & 3) * 8 + (k & 7)] = value;
  });
  return packed;
}
