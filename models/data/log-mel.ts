import { FleetError } from "../../protocol/errors.ts";
import { DEFAULT_MAX_BYTES, type ReadLimits, tooLarge } from "./bytes.ts";
import { powerSpectrum } from "./fft.ts";
import type { Series } from "./series.ts";
import { type Recording, readWav } from "./wav.ts";

export interface LogMelOptions {
  /** Samples in a frame, a power of two. */
  readonly frame?: number;
  /** Samples from one frame to the next. */
  readonly hop?: number;
  /** Mel bands: the channels. */
  readonly bands?: number;
  /** Edges of the lowest and the highest band; the highest is at most half of the samples per second. */
  readonly lowHz?: number;
  readonly highHz?: number;
  /**
   * `slaney`: linear below 1 kHz, bands of equal area (Slaney 1998, Auditory Toolbox), librosa's default; `htk`: 2595 log10(1 + f/700), bands of
   * equal height (Young et al. 2006, The HTK Book, section 5.4).
   */
  readonly scale?: "slaney" | "htk";
  /** Whether frame i is centred on sample i * hop, with zeros beyond the ends, or begins there. */
  readonly centred?: boolean;
  /** Power below which the logarithm stops. */
  readonly floor?: number;
}

/** 64 ms at 16 kHz, half of it apart. Source: Koizumi et al. 2020, DCASE 2020 task 2 (unsupervised detection of machine sounds), the baseline. */
export const DEFAULT_FRAME = 1024;
export const DEFAULT_HOP = 512;
/** Half of that baseline's 128: at 16 kHz the lowest of 128 bands are narrower than a line of the spectrum. */
export const DEFAULT_BANDS = 64;
/** -100 dB of a full-scale power of one, as librosa's power_to_db. */
export const DEFAULT_FLOOR = 1e-10;

/** Reads a WAV file as a series: row = frame, channel = mel band. Throws BAD_INPUT as `readWav` and `logMel` do. */
export async function readLogMel(path: string, options: LogMelOptions & ReadLimits = {}): Promise<Series> {
  const recording = await readWav(path, options);
  try {
    return logMel(recording, options, options.maxBytes);
  } catch (cause) {
    if (!(cause instanceof FleetError)) throw cause;
    throw new FleetError(cause.code, `${path}: ${cause.message}`, { cause });
  }
}

/**
 * The natural logarithm of the mel spectrogram: Hann window, |FFT|^2, triangular mel filters, log(max(floor, power)). Equal to
 * `log(maximum(librosa.feature.melspectrogram(...), floor))` within float32 rounding. Throws BAD_INPUT for options that can't be, a recording
 * shorter than a frame where frames are not centred, and more than `maxBytes`.
 */
export function logMel(
  { samples, rateHz }: Recording,
  options: LogMelOptions = {},
  maxBytes = DEFAULT_MAX_BYTES,
): Series {
  const { frame = DEFAULT_FRAME, hop = DEFAULT_HOP, bands = DEFAULT_BANDS, floor = DEFAULT_FLOOR } = options;
  const { lowHz = 0, highHz = rateHz / 2, scale = "slaney", centred = true } = options;
  if (
    !(Number.isInteger(hop) && hop >= 1) ||
    !(Number.isInteger(bands) && bands >= 1 && bands <= frame / 2) ||
    !(floor > 0)
  )
    throw bad(`a hop of ${hop}, ${bands} bands in frames of ${frame} and a floor of ${floor} can't be`);
  if (!(lowHz >= 0 && lowHz < highHz && highHz <= rateHz / 2))
    throw bad(
      `bands from ${lowHz} to ${highHz} Hz can't be heard at ${rateHz} samples a second; keep to 0..${rateHz / 2}`,
    );
  const spectrum = powerSpectrum(frame);
  const rows = centred
    ? 1 + Math.floor(samples.length / hop)
    : 1 + Math.floor((samples.length - frame) / hop);
  if (rows < 1) throw bad(`${samples.length} samples are shorter than a frame of ${frame}; record longer`);
  if (rows * bands * 4 > maxBytes) throw tooLarge("the spectrogram", maxBytes);
  // Periodic, as for spectra: n and not n - 1 in the denominator.
  const hann = Float64Array.from(
    { length: frame },
    (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / frame),
  );
  const filters = melFilters({ frame, rateHz, bands, lowHz, highHz, scale });
  const values = new Float32Array(rows * bands);
  const windowed = new Float64Array(frame);
  const power = new Float64Array(frame / 2 + 1);
  for (let r = 0; r < rows; r++) {
    const from = r * hop - (centred ? frame / 2 : 0);
    for (let i = 0; i < frame; i++) windowed[i] = hann[i]! * (samples[from + i] ?? 0);
    spectrum(windowed, power);
    for (let b = 0; b < bands; b++) {
      const { first, weights } = filters[b]!;
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k]! * power[first + k]!;
      values[r * bands + b] = Math.log(Math.max(floor, sum));
    }
  }
  const names = Array.from({ length: bands }, (_, b) => `mel${b + 1}`);
  return { rows, channels: bands, values, names, rateHz: rateHz / hop };
}

interface Filter {
  /** Index of the first line of the spectrum that it takes. */
  readonly first: number;
  readonly weights: Float64Array;
}

function melFilters(o: {
  frame: number;
  rateHz: number;
  bands: number;
  lowHz: number;
  highHz: number;
  scale: "slaney" | "htk";
}): Filter[] {
  const { toMel, toHz } = SCALES[o.scale];
  const [low, high] = [toMel(o.lowHz), toMel(o.highHz)];
  const edges = Array.from({ length: o.bands + 2 }, (_, i) => toHz(low + ((high - low) * i) / (o.bands + 1)));
  return Array.from({ length: o.bands }, (_, b) => {
    const [left, peak, right] = [edges[b]!, edges[b + 1]!, edges[b + 2]!];
    const area = o.scale === "slaney" ? 2 / (right - left) : 1;
    const lineHz = o.rateHz / o.frame;
    const first = Math.max(0, Math.floor(left / lineHz));
    const last = Math.min(o.frame / 2, Math.ceil(right / lineHz));
    const weights = Float64Array.from({ length: last - first + 1 }, (_, k) => {
      const hz = (first + k) * lineHz;
      return area * Math.max(0, Math.min((hz - left) / (peak - left), (right - hz) / (right - peak)));
    });
    return { first, weights };
  });
}

const KNEE_HZ = 1000;
const KNEE_MEL = 15;
const LOG_STEP = Math.log(6.4) / 27;
const SCALES = {
  htk: {
    toMel: (hz: number) => 2595 * Math.log10(1 + hz / 700),
    toHz: (mel: number) => 700 * (10 ** (mel / 2595) - 1),
  },
  slaney: {
    toMel: (hz: number) =>
      hz < KNEE_HZ ? (hz * KNEE_MEL) / KNEE_HZ : KNEE_MEL + Math.log(hz / KNEE_HZ) / LOG_STEP,
    toHz: (mel: number) =>
      mel < KNEE_MEL ? (mel * KNEE_HZ) / KNEE_MEL : KNEE_HZ * Math.exp(LOG_STEP * (mel - KNEE_MEL)),
  },
} as const;

function bad(what: string): FleetError {
  return new FleetError("BAD_INPUT", what);
}
