import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32, deflateSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeImage, rasterise } from "../../../models/data/image.ts";
import { readImageFolder } from "../../../models/data/image-folder.ts";
import type { Picture } from "../../../models/data/picture.ts";
import { sentenceOf, temporaryFolder } from "./temp-folder.ts";

const root = temporaryFolder();

function chunk(type: string, body: Uint8Array): Buffer {
  const out = Buffer.alloc(12 + body.length);
  out.writeUInt32BE(body.length, 0);
  out.write(type, 4, "latin1");
  out.set(body, 8);
  out.writeUInt32BE(crc32(out.subarray(4, 8 + body.length)), 8 + body.length);
  return out;
}

interface PngOptions {
  readonly width: number;
  readonly height: number;
  readonly bits?: number;
  readonly colour?: number;
  readonly interlace?: number;
  readonly before?: readonly Buffer[];
}

/** A PNG around its unpacked lines, each with its filter byte. */
function pngOf(raw: Uint8Array, options: PngOptions): Buffer {
  const { width, height, bits = 8, colour = 0, interlace = 0, before = [] } = options;
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([bits, colour, 0, 0, interlace], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const packed = deflateSync(raw);
  const half = packed.length >> 1; // two IDAT chunks, as large files have them
  return Buffer.concat([
    signature,
    chunk("IHDR", header),
    ...before,
    chunk("IDAT", packed.subarray(0, half)),
    chunk("IDAT", packed.subarray(half)),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

const pixelsOf = async (png: Buffer) => {
  const { pixels, channels, most } = await decodeImage(png, "x");
  return { pixels: [...pixels], channels, most };
};

test("png - grey of 1, 2, 4, 8 and 16 bits, RGB, palette and transparency on black", async () => {
  const [width, height] = [3, 1];
  expect(await pixelsOf(pngOf(Uint8Array.of(0, 0b10100000), { width, height, bits: 1 }))).toEqual({
    pixels: [1, 0, 1],
    channels: 1,
    most: 1,
  });
  expect(await pixelsOf(pngOf(Uint8Array.of(0, 0b00011011), { width: 4, height, bits: 2 }))).toEqual({
    pixels: [0, 1, 2, 3],
    channels: 1,
    most: 3,
  });
  expect(await pixelsOf(pngOf(Uint8Array.of(0, 0x1f, 0x70), { width, height, bits: 4 }))).toEqual({
    pixels: [1, 15, 7],
    channels: 1,
    most: 15,
  });
  expect(await pixelsOf(pngOf(Uint8Array.of(0, 1, 2, 0, 10), { width: 2, height, bits: 16 }))).toEqual({
    pixels: [258, 10],
    channels: 1,
    most: 65_535,
  });
  expect(await pixelsOf(pngOf(Uint8Array.of(0, 1, 2, 3), { width: 1, height, colour: 2 }))).toEqual({
    pixels: [1, 2, 3],
    channels: 3,
    most: 255,
  });
  const before = [chunk("PLTE", Uint8Array.of(10, 20, 30, 40, 50, 60)), chunk("tRNS", Uint8Array.of(255, 0))];
  expect(await pixelsOf(pngOf(Uint8Array.of(0, 0, 1), { width: 2, height, colour: 3, before }))).toEqual({
    pixels: [10, 20, 30, 0, 0, 0],
    channels: 3,
    most: 255,
  });
  expect(await pixelsOf(pngOf(Uint8Array.of(0, 200, 255, 200, 51), { width: 2, height, colour: 4 }))).toEqual(
    { pixels: [200, 40], channels: 1, most: 255 },
  );
  expect(await pixelsOf(pngOf(Uint8Array.of(0, 100, 50, 0, 255), { width: 1, height, colour: 6 }))).toEqual({
    pixels: [100, 50, 0],
    channels: 3,
    most: 255,
  });
});

/** The five filters, written from the specification's own formulas (section 9.2). */
function filtered(lines: readonly Uint8Array[], filters: readonly number[], step: number): Buffer {
  const out = lines.map((line, y) => {
    const up = (i: number) => lines[y - 1]?.[i] ?? 0;
    const left = (i: number) => line[i - step] ?? 0;
    const corner = (i: number) => (i >= step ? (lines[y - 1]?.[i - step] ?? 0) : 0);
    const guess = (i: number) => {
      const p = left(i) + up(i) - corner(i);
      const near = [left(i), up(i), corner(i)]
        .map((v) => [Math.abs(p - v), v] as const)
        .reduce((a, b) => (b[0] < a[0] ? b : a))[1];
      return [0, left(i), up(i), (left(i) + up(i)) >> 1, near][filters[y]!]!;
    };
    return Buffer.from([filters[y]!, ...line.map((v, i) => v - guess(i))]);
  });
  return Buffer.concat(out);
}

test("png - every filter, for any pixels", async () => {
  const property = fc.asyncProperty(
    fc.constantFrom(1, 3),
    fc.array(fc.tuple(fc.uint8Array({ minLength: 15, maxLength: 15 }), fc.nat(4)), {
      minLength: 1,
      maxLength: 6,
    }),
    async (channels, lines) => {
      const raw = filtered(
        lines.map(([line]) => line),
        lines.map(([, filter]) => filter),
        channels,
      );
      const png = pngOf(raw, { width: 15 / channels, height: lines.length, colour: channels === 3 ? 2 : 0 });
      expect((await pixelsOf(png)).pixels).toEqual(lines.flatMap(([line]) => [...line]));
    },
  );
  await fc.assert(property, { numRuns: 100 });
});

test("png - interlaced is the same picture", async () => {
  const [width, height] = [11, 9];
  const value = (x: number, y: number) => (x * 23 + y * 7) % 256;
  // The pass of each pixel of a tile of 8 x 8, as the specification draws it (figure 8.1).
  const tile = [
    "16462646",
    "77777777",
    "56565656",
    "77777777",
    "36463646",
    "77777777",
    "56565656",
    "77777777",
  ];
  const bytes: number[] = [];
  for (let pass = 1; pass <= 7; pass++) {
    for (let y = 0; y < height; y++) {
      const line = Array.from({ length: width }, (_, x) => x).filter(
        (x) => tile[y % 8]![x % 8] === String(pass),
      );
      if (line.length > 0) bytes.push(0, ...line.map((x) => value(x, y)));
    }
  }
  const { pixels } = await pixelsOf(pngOf(Uint8Array.from(bytes), { width, height, interlace: 1 }));
  expect(pixels).toEqual(
    Array.from({ length: width * height }, (_, i) => value(i % width, Math.floor(i / width))),
  );
});

// Pillow 12, quality 90: grey (x, y) = (8 y + 7 x) mod 256, and red = grey, green = 255 - grey, blue = grey / 2.
const JPEG = {
  baseline:
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGBYUGBIUFRT/wAALCAAQABABAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/9oACAEBAAA/APjb4f8Aw2/1f7r07V9K/D/4bf6v916dq1fh/wDDb/V/uvTtX0t8P/ht/q/3Xp2r/9k=",
  progressive:
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGBYUGBIUFRT/wgALCAAQABABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAABwT/2gAIAQEAAAABGkupL//EABUQAQEAAAAAAAAAAAAAAAAAAAUA/9oACAEBAAEFAjzY82PNjzb/xAAWEAADAAAAAAAAAAAAAAAAAAAAASH/2gAIAQEABj8CUFBQUP/EABQQAQAAAAAAAAAAAAAAAAAAACD/2gAIAQEAAT8hAAAf/9oACAEBAAAAEL//xAAWEAADAAAAAAAAAAAAAAAAAAAAQaH/2gAIAQEAAT8Qioioioio/9k=",
  colour:
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGBYUGBIUFRT/2wBDAQMEBAUEBQkFBQkUDQsNFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBT/wgARCAAQABADASIAAhEBAxEB/8QAFgABAQEAAAAAAAAAAAAAAAAABQIE/8QAFQEBAQAAAAAAAAAAAAAAAAAABAb/2gAMAwEAAhADEAAAAdh0mxhP/8QAFhAAAwAAAAAAAAAAAAAAAAAAAAID/9oACAEBAAEFAnoPQeg9D//EABgRAAIDAAAAAAAAAAAAAAAAAAAFBiEx/9oACAEDAQE/AUcfyj//xAAVEQEBAAAAAAAAAAAAAAAAAAAEAP/aAAgBAgEBPwEQL//EABQQAQAAAAAAAAAAAAAAAAAAACD/2gAIAQEABj8CH//EABQQAQAAAAAAAAAAAAAAAAAAACD/2gAIAQEAAT8hFV//2gAMAwEAAgADAAAAENf/xAAUEQEAAAAAAAAAAAAAAAAAAAAA/9oACAEDAQE/EB//xAAWEQADAAAAAAAAAAAAAAAAAAAAITH/2gAIAQIBAT8Qgj//xAAWEAADAAAAAAAAAAAAAAAAAAAAITH/2gAIAQEAAT8Quy7Lsuz/2Q==",
} as const;

for (const kind of ["baseline", "progressive", "colour"] as const) {
  test(`jpeg - a picture by Pillow within 8 of 255, ${kind}`, async () => {
    const { pixels, channels, width, height } = await decodeImage(Buffer.from(JPEG[kind], "base64"), "x");
    expect([width, height, channels]).toEqual([16, 16, kind === "colour" ? 3 : 1]);
    pixels.forEach((pixel, i) => {
      const at = Math.floor(i / channels);
      const grey = (8 * Math.floor(at / 16) + 7 * (at % 16)) % 256;
      const wanted = [grey, 255 - grey, Math.floor(grey / 2)][i % channels]!;
      expect(Math.abs(pixel - wanted)).toBeLessThan(kind === "colour" ? 16 : 8);
    });
  });
}

test("image - a bomb is refused by its header, before anything is decompressed", async () => {
  const line = Uint8Array.of(0, 0);
  const huge = pngOf(line, { width: 2 ** 31 - 1, height: 2 ** 31 - 1 });
  await expect(decodeImage(huge, "x")).rejects.toThrow(
    /x: has 2147483647 x 2147483647 pixels, more than 16777216/,
  );
  // A small picture, and far more data behind it than it needs.
  const long = pngOf(new Uint8Array(50_000_000), { width: 1, height: 1 });
  expect(long.length).toBeLessThan(100_000);
  await expect(decodeImage(long, "x")).rejects.toThrow("or more than its size needs");
  const jpeg = Buffer.from(JPEG.baseline, "base64");
  const frame = jpeg.indexOf(Buffer.from([0xff, 0xc0]));
  jpeg.writeUInt16BE(65_535, frame + 5);
  jpeg.writeUInt16BE(65_535, frame + 7);
  await expect(decodeImage(jpeg, "x")).rejects.toThrow("x: has 65535 x 65535 pixels");
  const scans = Buffer.from(JPEG.baseline, "base64");
  const scan = scans.indexOf(Buffer.from([0xff, 0xda]));
  const again = Array.from({ length: 65 }, () => scans.subarray(scan, scans.length - 2));
  await expect(decodeImage(Buffer.concat([scans.subarray(0, scan), ...again]), "x")).rejects.toThrow(
    "has more than 64 scans",
  );
});

for (const [kind, good] of [
  [
    "png",
    pngOf(filtered([Uint8Array.of(1, 2, 3), Uint8Array.of(4, 5, 6)], [1, 4], 3), {
      width: 1,
      height: 2,
      colour: 2,
    }),
  ],
  ["baseline jpeg", Buffer.from(JPEG.baseline, "base64")],
  ["progressive jpeg", Buffer.from(JPEG.colour, "base64")],
] as const) {
  test(`image - any damage to a ${kind} ends in a picture or in one sentence`, async () => {
    const property = fc.asyncProperty(
      fc.nat(good.length),
      fc.boolean(),
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 }),
      async (length, cut, changes) => {
        const damaged = Buffer.from(cut ? good.subarray(0, length) : good);
        for (const [at, byte] of changes) if (at < damaged.length) damaged[at] = byte;
        try {
          const { pixels, width, height, channels } = await decodeImage(damaged, "x", { maxPixels: 10_000 });
          expect(pixels.length).toBe(width * height * channels);
        } catch (error) {
          expect((error as { code?: string }).code, String(error)).toBe("BAD_INPUT");
        }
      },
    );
    await fc.assert(property, { numRuns: 500 });
  });
}

test("png - any header over any data ends in a picture or in one sentence", async () => {
  const options = fc.record({
    width: fc.nat(20),
    height: fc.nat(20),
    bits: fc.constantFrom(1, 2, 3, 4, 8, 16),
    colour: fc.nat(7),
    interlace: fc.nat(2),
    before: fc.array(
      fc.uint8Array({ maxLength: 12 }).map((body) => chunk("PLTE", body)),
      { maxLength: 1 },
    ),
  });
  let pictures = 0;
  // Bytes 0 to 4, so that many lines have a filter that there is; often as many as the picture needs.
  const stream = fc.infiniteStream(fc.nat(4));
  const property = fc.asyncProperty(options, stream, fc.nat(3), async (o, bytes, missing) => {
    const samples = [1, 1, 3, 1, 2, 1, 4, 1][o.colour]!;
    const size = (1 + Math.ceil((o.width * samples * o.bits) / 8)) * o.height;
    const raw = Uint8Array.from(bytes.take(Math.max(0, missing === 3 ? size - 1 : size)));
    try {
      const { pixels, width, height, channels } = await decodeImage(pngOf(raw, o), "x");
      expect(pixels.length).toBe(width * height * channels);
      pictures++;
    } catch (error) {
      expect((error as { code?: string }).code, String(error)).toBe("BAD_INPUT");
    }
  });
  await fc.assert(property, { numRuns: 1500, seed: 1 });
  expect(pictures).toBeGreaterThan(50);
});

const grey = (width: number, height: number, pixels: readonly number[]): Picture => ({
  width,
  height,
  channels: 1,
  pixels: Uint8Array.from(pixels),
  most: 100,
});
const made = (picture: Picture, width: number, height: number, channels: 1 | 3 = 1) => {
  const out = new Float32Array(width * height * channels);
  rasterise(picture, { width, height, channels }, out);
  return [...out];
};

test("rasterise - means of areas, by parts of pixels where they do not fit", () => {
  expect(made(grey(4, 2, [0, 100, 20, 40, 100, 0, 60, 80]), 2, 1)).toEqual([0.5, 0.5]);
  const [left, right] = made(grey(3, 1, [0, 30, 90]), 2, 1);
  expect(left).toBeCloseTo((0 + 30 / 2) / 1.5 / 100, 6);
  expect(right).toBeCloseTo((30 / 2 + 90) / 1.5 / 100, 6);
  expect(made(grey(1, 1, [50]), 2, 2)).toEqual([0.5, 0.5, 0.5, 0.5]);
  expect(made(grey(1, 1, [50]), 1, 1, 3)).toEqual([0.5, 0.5, 0.5]);
  const rgb: Picture = { width: 1, height: 1, channels: 3, pixels: Uint8Array.of(100, 50, 0), most: 100 };
  expect(made(rgb, 1, 1)[0]).toBeCloseTo(0.299 + 0.587 / 2, 6);
});

test("rasterise - keeps the mean, for any picture and size", () => {
  const property = fc.property(
    fc.integer({ min: 1, max: 9 }),
    fc.integer({ min: 1, max: 9 }),
    fc.integer({ min: 1, max: 12 }),
    fc.integer({ min: 1, max: 12 }),
    fc.infiniteStream(fc.nat(100)),
    (w, h, width, height, stream) => {
      const pixels = [...stream.take(w * h)];
      const out = made(grey(w, h, pixels), width, height);
      const mean = (list: readonly number[]) => list.reduce((a, b) => a + b, 0) / list.length;
      expect(mean(out)).toBeCloseTo(mean(pixels) / 100, 5);
      expect(Math.max(...out)).toBeLessThanOrEqual(1);
    },
  );
  fc.assert(property, { numRuns: 200 });
});

const SIZE = { width: 2, height: 2, channels: 1 } as const;

test("image folder - sub-folders are classes, in order of number; others are left alone", async () => {
  const folder = join(root, "set");
  for (const name of ["good", "bad10", "bad9", "empty", ".hidden"])
    mkdirSync(join(folder, name), { recursive: true });
  const png = (v: number) => pngOf(Uint8Array.of(0, v), { width: 1, height: 1 });
  writeFileSync(join(folder, "good", "a10.png"), png(10));
  writeFileSync(join(folder, "good", "a9.PNG"), png(9));
  writeFileSync(join(folder, "bad10", "x.png"), png(255));
  writeFileSync(join(folder, "bad9", "x.jpeg"), Buffer.from(JPEG.baseline, "base64"));
  writeFileSync(join(folder, "good", "notes.txt"), "");
  writeFileSync(join(folder, ".hidden", "x.png"), "no picture");
  symlinkSync("/nowhere", join(folder, "good", "link.png"));
  const set = await readImageFolder(folder, { size: SIZE });
  expect(set.classes).toEqual(["bad9", "bad10", "good"]);
  expect(set.files).toEqual(["bad9/x.jpeg", "bad10/x.png", "good/a9.PNG", "good/a10.png"]);
  expect([...set.labels!]).toEqual([0, 1, 2, 2]);
  expect(set.values.length).toBe(4 * 4);
  expect([...set.values.subarray(4, 8)]).toEqual([1, 1, 1, 1]);
  expect(set.values[8]).toBeCloseTo(9 / 255, 6);

  const flat = await readImageFolder(join(folder, "good"), { size: { ...SIZE, channels: 3 } });
  expect([flat.count, flat.classes.length, flat.labels, flat.values.length]).toEqual([
    2,
    0,
    undefined,
    2 * 12,
  ]);
});

test("image folder - what is wrong is said", async () => {
  const folder = join(root, "wrong");
  mkdirSync(join(folder, "a"), { recursive: true });
  const sentence = (options = {}) => sentenceOf(readImageFolder(folder, { size: SIZE, ...options }), root);
  expect(await sentence()).toBe(
    "BAD_INPUT wrong: holds no pictures (.png, .jpg, .jpeg), nor do its folders; check the path",
  );
  writeFileSync(join(folder, "a", "x.png"), "GIF89a");
  expect(await sentence()).toBe(
    "BAD_INPUT wrong/a/x.png: is neither PNG nor JPEG (bad magic at byte 0); convert it",
  );
  expect(await sentence({ maxFileBytes: 3 })).toBe(
    "BAD_INPUT wrong/a/x.png: holds more than 3 bytes; raise maxBytes or split it",
  );
  expect(await sentence({ maxBytes: 3 })).toBe(
    "BAD_INPUT wrong: holds more than 3 bytes; raise maxBytes or split it",
  );
  expect(await sentence({ size: { ...SIZE, width: 0 } })).toBe(
    "BAD_INPUT wrong: pictures can't be made 0 x 2; give whole numbers above 0",
  );
  writeFileSync(join(folder, "y.png"), "");
  expect(await sentence()).toBe(
    "BAD_INPUT wrong: holds pictures (y.png) and a folder of pictures (a); put all of them into folders",
  );
  expect(await sentenceOf(readImageFolder(join(root, "nowhere"), { size: SIZE }), root)).toBe(
    "BAD_INPUT nowhere: can't be opened (ENOENT); check the path",
  );
});
