// A series and the pictures, or the recording, of the same time: fits one network of both to normal rows, and tells the alarms of later ones.
//   node dist/examples/multimodal/own-data.js NORMAL.csv NORMAL LATER.csv LATER [--every 1] [--size 16] [--save FILE]
// NORMAL and LATER are folders of .png or .jpg, in the order of their names and one every N rows, or .wav files that begin with the series.
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { createDetector, readSeries, type Series } from "starling/models";
import { cameraPictures, joinRows, type Pictures, soundPictures } from "./rows.ts";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    every: { type: "string", default: "1" },
    size: { type: "string", default: "16" },
    save: { type: "string" },
  },
});
const [normalFile, normalPictures, laterFile, laterPictures] = positionals;
if (normalFile === undefined || normalPictures === undefined || laterFile === undefined || !laterPictures) {
  console.error("usage: own-data.js NORMAL.csv NORMAL LATER.csv LATER [--every N] [--size N] [--save FILE]");
  process.exit(2);
}
const size = Number(options.size);

const picturesOf = ({ rows, rateHz = 1 }: Series, from: string): Promise<Pictures> =>
  from.endsWith(".wav")
    ? soundPictures(from, { width: size, rows, rateHz })
    : cameraPictures(from, { height: size, width: size }, { rows, every: Number(options.every) });
const both = async (file: string, from: string) => {
  const series = await readSeries(file);
  const pictures = await picturesOf(series, from);
  return { rows: joinRows(series, pictures), pictures };
};

const normal = await both(normalFile, normalPictures);
const later = await both(laterFile, laterPictures);
const { height, width } = normal.pictures;
const detector = await createDetector("multimodal-autoencoder", {
  options: { height, width },
  window: 16,
  stride: 1,
  seed: 1,
});
const { samples, caution } = await detector.fit(normal.rows);
console.log(
  `learned from ${samples} windows, pictures of ${height} x ${width}${caution ? `; ${caution}` : ""}`,
);
for (const { onset, end, peak, channels } of detector.detect(later.rows, { before: normal.rows }).events) {
  const made = channels.map(({ name, share }) => `${name} ${Math.round(100 * share)} %`);
  console.log(
    `rows ${onset} to ${end - 1}: ${(peak.score / detector.threshold).toFixed(1)} x threshold, ${made.join(", ")}`,
  );
}
if (options.save) await writeFile(options.save, detector.save());
detector.dispose();
