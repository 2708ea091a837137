import {
  fitScaler,
  forecastWindows,
  readSeries,
  type Samples,
  scaleSeries,
  seriesStatistics,
  splitInTime,
} from "starling/models";

const window = 64;
const stride = 8;

/** A real series as windows of 64 rows, each with the rows one later as its targets. */
export interface Task {
  readonly window: number;
  readonly channels: number;
  /** Of the first 80 % of the rows. */
  readonly trained: Samples;
  /** Of the rest. */
  readonly heldBack: Samples;
  /** What guessing that the next row is this one gets: the mean squared difference of neighbouring held-back rows. */
  readonly persistence: number;
}

/** Reads a series (rows, channels), .npy, .npy.gz or .csv, and scales it by what its first 80 % are like. */
export async function readTask(file: string): Promise<Task> {
  const series = await readSeries(file);
  const { rows, channels } = series;
  const { train, heldBack } = splitInTime(rows, 0.2);
  const values = scaleSeries(fitScaler(seriesStatistics(series, train)), series.values, { fill: true });
  const part = { values, rows, channels, window };
  return {
    window,
    channels,
    trained: forecastWindows({ ...part, stride, ...train }),
    heldBack: forecastWindows({ ...part, stride: window, ...heldBack }),
    persistence: meanSquaredStep(values, heldBack.from * channels, heldBack.to * channels, channels),
  };
}

function meanSquaredStep(values: Float32Array, from: number, to: number, channels: number): number {
  let sum = 0;
  for (let i = from; i < to - channels; i++) sum += (values[i + channels]! - values[i]!) ** 2;
  return sum / (to - channels - from);
}
