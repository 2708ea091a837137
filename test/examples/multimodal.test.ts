import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32, deflateSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compare, conditions, type Line } from "../../examples/multimodal/compare.ts";
import { cameraPictures, joinRows, soundPictures } from "../../examples/multimodal/rows.ts";
import { channels, modality, pixels, sensors, station, without } from "../../examples/multimodal/stations.ts";

describe("multimodal example", () => {
  let lines: readonly Line[];
  const of = (condition: Line["condition"], method: string) =>
    lines.find((line) => line.condition === condition && line.method === method)!;
  beforeAll(async () => {
    const stations = [0, 1].map((device) =>
      station({ device, seed: 1, trainRows: 2400, quietRows: 500, testRows: 880 }),
    );
    lines = await compare({ stations, rounds: 6, seed: 1 });
  }, 60_000);

  it("judges each method where all is there and where either modality is gone", () => {
    expect(lines).toHaveLength(conditions.length * 5);
    for (const { auroc, events } of lines) {
      expect(auroc).toBeGreaterThan(0.45);
      expect(events).toEqual([4, 4, 4, 4]);
    }
  });

  it("one network finds what shows in either, and what neither modality shows by itself", () => {
    const [all] = conditions;
    const network = of(all, "one network");
    for (const alone of ["sensors alone", "picture alone"])
      expect(network.auroc).toBeGreaterThan(of(all, alone).auroc + 0.05);
    expect(network.found[3]).toBeGreaterThan(of(all, "late fusion, fisher").found[3]!);
  });

  it("each modality alone finds what is its own, and both fused rank rows better than either", () => {
    const [all, noPictures, noSensors] = conditions;
    expect(of(all, "sensors alone").found[0]).toBeGreaterThan(of(all, "picture alone").found[0]!);
    expect(of(all, "picture alone").found[1]).toBeGreaterThan(of(all, "sensors alone").found[1]!);
    for (const alone of ["sensors alone", "picture alone"])
      for (const rule of ["fisher", "max"])
        expect(of(all, `late fusion, ${rule}`).auroc).toBeGreaterThan(of(all, alone).auroc);
    // What is missing takes nothing from the other.
    expect(of(noPictures, "sensors alone")).toMatchObject({ found: of(all, "sensors alone").found });
    expect(of(noSensors, "picture alone")).toMatchObject({ found: of(all, "picture alone").found });
    expect(of(noPictures, "picture alone").auroc).toBeLessThan(of(all, "picture alone").auroc);
  });

  it("its stations differ, are the same for a seed, and have their modalities side by side", () => {
    const make = (device: number) =>
      station({ device, seed: 1, trainRows: 50, quietRows: 10, testRows: 120 });
    expect(make(0)).toEqual(make(0));
    expect(make(0).train.values).not.toEqual(make(1).train.values);
    const { test } = make(0);
    const seen = modality(test, "picture");
    expect(seen.channels).toBe(pixels);
    expect(seen.values.subarray(0, pixels)).toEqual(test.values.subarray(sensors, channels));
    const half = without(test, "picture");
    expect(half.values.subarray(0, 60 * channels)).toEqual(test.values.subarray(0, 60 * channels));
    expect(
      modality(half, "picture")
        .values.subarray(60 * pixels)
        .every(Number.isNaN),
    ).toBe(true);
    expect(modality(half, "sensors").values).toEqual(modality(test, "sensors").values);
  });
});

describe("rows of a series and pictures", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "starling-rows-"));
    for (let i = 0; i < 3; i++) await writeFile(join(folder, `shot${i}.png`), greyPng(4, 40 * (i + 1)));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("a picture stands at its row, and rows between have none", async () => {
    const size = { height: 2, width: 2 };
    const pictures = await cameraPictures(folder, size, { rows: 8, every: 3 });
    const values = Float32Array.from({ length: 8 }, (_, i) => i);
    const joined = joinRows({ rows: 8, channels: 1, values, names: ["flow"], rateHz: 2 }, pictures);
    expect(joined).toMatchObject({ rows: 8, channels: 5, rateHz: 2 });
    expect(joined.names).toEqual(["flow", "y0 x0", "y0 x1", "y1 x0", "y1 x1"]);
    for (let row = 0; row < 8; row++) {
      const [flow, ...seen] = joined.values.subarray(row * 5, row * 5 + 5);
      expect(flow).toBe(row);
      const shade = row % 3 === 0 ? (40 * (row / 3 + 1)) / 255 : Number.NaN;
      for (const pixel of seen)
        if (Number.isNaN(shade)) expect(pixel).toBeNaN();
        else expect(pixel).toBeCloseTo(shade, 5);
    }
    await expect(cameraPictures(folder, size, { rows: 6, every: 3 })).rejects.toThrow(
      /more than 6 rows have/,
    );
  });

  it("a row hears the frames up to its moment", async () => {
    const rate = 8000;
    const samples = Int16Array.from({ length: 4 * rate }, (_, i) =>
      i < 2 * rate ? 0 : 8000 * Math.sin((2 * Math.PI * 1000 * i) / rate),
    );
    const wav = join(folder, "tone.wav");
    const head = Buffer.alloc(44);
    head.write("RIFF", 0);
    head.writeUInt32LE(36 + 2 * samples.length, 4);
    head.write("WAVEfmt ", 8);
    head.writeUInt32LE(16, 16);
    head.writeUInt16LE(1, 20);
    head.writeUInt16LE(1, 22);
    head.writeUInt32LE(rate, 24);
    head.writeUInt32LE(2 * rate, 28);
    head.writeUInt16LE(2, 32);
    head.writeUInt16LE(16, 34);
    head.write("data", 36);
    head.writeUInt32LE(2 * samples.length, 40);
    await writeFile(wav, Buffer.concat([head, Buffer.from(samples.buffer)]));
    const heard = await soundPictures(wav, { width: 8, rows: 6, rateHz: 1 });
    expect(heard).toMatchObject({ height: 64, width: 8, rows: 6 });
    const loudest = (row: number) => Math.max(...heard.values.subarray(row * 512, (row + 1) * 512));
    // A silent second, one up to the tone's begin, two of tone, and nothing after the end.
    expect(loudest(0)).toBeLessThan(-20);
    expect(loudest(2)).toBeGreaterThan(-5);
    expect(loudest(3)).toBeGreaterThan(-5);
    expect(loudest(4)).toBeNaN();
  });
});

/** A square of one shade. */
function greyPng(side: number, shade: number): Buffer {
  const chunk = (type: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(side, 0);
  head.writeUInt32BE(side, 4);
  head[8] = 8;
  const rows = Buffer.alloc(side * (side + 1), shade);
  for (let y = 0; y < side; y++) rows[y * (side + 1)] = 0;
  const signature = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);
  return Buffer.concat([
    signature,
    chunk("IHDR", head),
    chunk("IDAT", deflateSync(rows)),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}
