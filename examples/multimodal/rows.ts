import { type ImageSet, readImageFolder, readSeries, type Series } from "starling/models";

export interface PictureSize {
  readonly height: number;
  readonly width: number;
}

/** The pictures of a series, one a row; NaN in all pixels where a row has none. */
export interface Pictures extends PictureSize {
  readonly rows: number;
  /** (rows, height * width). */
  readonly values: Float32Array;
}

/**
 * A folder of pictures beside a series: in the order of their names, one every `every` rows from row `first` on. Rows between have none. Throws where there are
 * more pictures than rows for them.
 */
export async function cameraPictures(
  folder: string,
  size: PictureSize,
  { rows, every, first = 0 }: { readonly rows: number; readonly every: number; readonly first?: number },
): Promise<Pictures> {
  const images: ImageSet = await readImageFolder(folder, { size: { ...size, channels: 1 } });
  const pixels = size.height * size.width;
  const last = first + (images.count - 1) * every;
  if (last >= rows)
    throw new Error(
      `${folder} holds ${images.count} pictures, one every ${every} rows: more than ${rows} rows have`,
    );
  const values = new Float32Array(rows * pixels).fill(Number.NaN);
  for (let i = 0; i < images.count; i++)
    values.set(images.values.subarray(i * pixels, (i + 1) * pixels), (first + i * every) * pixels);
  return { ...size, rows, values };
}

/**
 * A recording beside a series, as pictures of sound: of each row the last `width` frames of the log-mel spectrogram up to its moment, (bands, width). The
 * recording begins with the series; rows before its first `width` frames and after its end have none.
 */
export async function soundPictures(
  wav: string,
  { width, rows, rateHz }: { readonly width: number; readonly rows: number; readonly rateHz: number },
): Promise<Pictures> {
  const { rateHz: framesHz, rows: frames, channels: bands, values: mel } = await readSeries(wav);
  const values = new Float32Array(rows * bands * width).fill(Number.NaN);
  for (let row = 0; row < rows; row++) {
    const end = Math.floor(((row + 1) / rateHz) * framesHz!);
    if (end < width || end > frames) continue;
    for (let band = 0; band < bands; band++)
      for (let x = 0; x < width; x++)
        values[(row * bands + band) * width + x] = mel[(end - width + x) * bands + band]!;
  }
  return { height: bands, width, rows, values };
}

/** What `multimodal-autoencoder` takes: each row of the series, then its picture. Its options height and width are the pictures'. */
export function joinRows(series: Series, pictures: Pictures): Series {
  const { rows, channels, values, names, ...rest } = series;
  if (pictures.rows !== rows) throw new Error(`there are ${rows} rows and ${pictures.rows} pictures`);
  const pixels = pictures.height * pictures.width;
  const width = channels + pixels;
  const joined = new Float32Array(rows * width);
  for (let i = 0; i < rows; i++) {
    joined.set(values.subarray(i * channels, (i + 1) * channels), i * width);
    joined.set(pictures.values.subarray(i * pixels, (i + 1) * pixels), i * width + channels);
  }
  const places = Array.from(
    { length: pixels },
    (_, p) => `y${Math.floor(p / pictures.width)} x${p % pictures.width}`,
  );
  return { ...rest, rows, channels: width, values: joined, names: [...names, ...places] };
}
