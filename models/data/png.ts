import { crc32, inflateSync } from "node:zlib";
import { FleetError } from "../../protocol/errors.ts";
import { checkSize, type ImageOptions, type Picture } from "./picture.ts";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a] as const;

export function isPng(bytes: Uint8Array): boolean {
  return SIGNATURE.every((byte, i) => bytes[i] === byte);
}

/**
 * Decodes a PNG of any kind: grey, RGB or palette, 1 to 16 bits, interlaced or not. Transparent parts lie on black. The size is checked before
 * anything is decompressed, and no more is decompressed than that size needs. Throws BAD_INPUT with the byte that is wrong.
 * Source: W3C, Portable Network Graphics (PNG) Specification, third edition, 2025.
 */
export function decodePng(encoded: Uint8Array, name: string, options: ImageOptions = {}): Picture {
  const bytes = Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  let header: Header | undefined;
  let palette: Buffer | undefined;
  let opacity: Buffer | undefined;
  const data: Buffer[] = [];
  for (let at = SIGNATURE.length; ; ) {
    if (at + CHUNK_EXTRA > bytes.length)
      throw bad(name, `ends early, at byte ${bytes.length}; fetch it again`);
    const size = bytes.readUInt32BE(at);
    const type = bytes.toString("latin1", at + 4, at + 8);
    const end = at + 8 + size;
    if (end + 4 > bytes.length)
      throw bad(name, `ends inside a chunk, at byte ${bytes.length}; fetch it again`);
    if (crc32(bytes.subarray(at + 4, end)) !== bytes.readUInt32BE(end))
      throw bad(name, `is damaged in the chunk at byte ${at}; fetch it again`);
    const body = bytes.subarray(at + 8, end);
    if (!header && type !== "IHDR") throw bad(name, `has no header (IHDR) at byte ${at}; write it again`);
    if (type === "IHDR") {
      if (header) throw bad(name, `has a second header at byte ${at}; write it again`);
      header = headerOf(body, name);
      checkSize(header, name, options);
    } else if (type === "PLTE") palette = body;
    else if (type === "tRNS") opacity = body;
    else if (type === "IDAT") data.push(body);
    else if (type === "IEND") break;
    else if ((bytes[at + 4]! & ANCILLARY) === 0)
      throw bad(name, `needs an unknown chunk at byte ${at}; save it as plain PNG`);
    at = end + 4;
  }
  return pictureOf(header!, { palette, opacity, data: Buffer.concat(data) }, name);
}

/** Length, type and checksum of a chunk. */
const CHUNK_EXTRA = 12;
/** The fifth bit of a chunk's first letter: what a reader may leave out. */
const ANCILLARY = 0x20;

interface Header {
  readonly width: number;
  readonly height: number;
  readonly bits: number;
  readonly kind: Kind;
  readonly interlaced: boolean;
}

interface Kind {
  /** Samples per pixel in the file. */
  readonly samples: number;
  readonly bits: readonly number[];
  readonly alpha: boolean;
  readonly palette: boolean;
}

/** By colour type. */
const KINDS: Readonly<Record<number, Kind>> = {
  0: { samples: 1, bits: [1, 2, 4, 8, 16], alpha: false, palette: false },
  2: { samples: 3, bits: [8, 16], alpha: false, palette: false },
  3: { samples: 1, bits: [1, 2, 4, 8], alpha: false, palette: true },
  4: { samples: 2, bits: [8, 16], alpha: true, palette: false },
  6: { samples: 4, bits: [8, 16], alpha: true, palette: false },
};

function headerOf(body: Buffer, name: string): Header {
  if (body.length !== 13) throw bad(name, `has a header of ${body.length} bytes, not 13; write it again`);
  const [bits, colour, compression, filter, interlace] = [8, 9, 10, 11, 12].map((at) => body[at]!);
  const kind = KINDS[colour!];
  if (!kind?.bits.includes(bits!) || compression !== 0 || filter !== 0 || interlace! > 1)
    throw bad(name, `has colour type ${colour} with ${bits} bits in its header; save it as plain PNG`);
  return {
    width: body.readUInt32BE(0),
    height: body.readUInt32BE(4),
    bits: bits!,
    kind,
    interlaced: interlace === 1,
  };
}

interface Pass {
  readonly width: number;
  readonly height: number;
  /** Pixel (i, j) of the pass is pixel (x + i dx, y + j dy) of the picture. */
  readonly x: number;
  readonly y: number;
  readonly dx: number;
  readonly dy: number;
}

/** Adam7: x, y, dx, dy. */
const ADAM7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

function passesOf({ width, height, interlaced }: Header): Pass[] {
  if (!interlaced) return [{ width, height, x: 0, y: 0, dx: 1, dy: 1 }];
  return ADAM7.map(([x, y, dx, dy]) => ({
    width: Math.ceil((width - x) / dx),
    height: Math.ceil((height - y) / dy),
    x,
    y,
    dx,
    dy,
  })).filter((pass) => pass.width > 0 && pass.height > 0);
}

interface Chunks {
  readonly palette: Buffer | undefined;
  readonly opacity: Buffer | undefined;
  readonly data: Buffer;
}

function pictureOf(header: Header, { palette, opacity, data }: Chunks, name: string): Picture {
  const { width, height, bits, kind } = header;
  if (kind.palette && (!palette || palette.length === 0 || palette.length % 3 !== 0))
    throw bad(name, "has colours by number and no palette (PLTE) for them; write it again");
  const passes = passesOf(header);
  const lineBytes = (pass: Pass) => Math.ceil((pass.width * kind.samples * bits) / 8);
  const size = passes.reduce((sum, pass) => sum + (1 + lineBytes(pass)) * pass.height, 0);
  const raw = inflated(data, size, name);
  const channels = kind.palette || kind.samples > 2 ? 3 : 1;
  const most = kind.palette ? 255 : 2 ** bits - 1;
  const pixels =
    bits === 16 ? new Uint16Array(width * height * channels) : new Uint8Array(width * height * channels);
  const step = Math.max(1, (kind.samples * bits) / 8);
  const put = (line: Buffer, i: number, to: number) => {
    if (kind.palette) {
      const number = sampleOf(line, i, bits);
      const at = 3 * number;
      if (at >= palette!.length)
        throw bad(name, `uses colour ${number} of a palette of ${palette!.length / 3}; write it again`);
      const seen = (opacity?.[number] ?? 255) / 255;
      for (let c = 0; c < 3; c++) pixels[to + c] = Math.round(palette![at + c]! * seen);
      return;
    }
    const first = i * kind.samples;
    const seen = kind.alpha ? sampleOf(line, first + kind.samples - 1, bits) / most : 1;
    for (let c = 0; c < channels; c++) pixels[to + c] = Math.round(sampleOf(line, first + c, bits) * seen);
  };
  let at = 0;
  for (const pass of passes) {
    const length = lineBytes(pass);
    let above: Buffer = Buffer.alloc(length);
    for (let j = 0; j < pass.height; j++) {
      const filter = raw[at]!;
      const line = raw.subarray(at + 1, at + 1 + length);
      if (filter > 4) throw bad(name, `has a line filtered by method ${filter}; write it again`);
      unfilter(line, above, filter, step);
      for (let i = 0; i < pass.width; i++)
        put(line, i, ((pass.y + j * pass.dy) * width + pass.x + i * pass.dx) * channels);
      above = line;
      at += 1 + length;
    }
  }
  return { width, height, channels, pixels, most };
}

function inflated(data: Buffer, size: number, name: string): Buffer {
  let raw: Buffer;
  try {
    raw = inflateSync(data, { maxOutputLength: size });
  } catch (cause) {
    throw new FleetError(
      "BAD_INPUT",
      `${name}: its image data is damaged, or more than its size needs; fetch it again`,
      { cause },
    );
  }
  if (raw.length !== size)
    throw bad(name, `holds ${raw.length} of ${size} bytes of image data; fetch it again`);
  return raw;
}

function sampleOf(line: Buffer, i: number, bits: number): number {
  if (bits === 8) return line[i]!;
  if (bits === 16) return line.readUInt16BE(2 * i);
  const bit = i * bits;
  return (line[bit >> 3]! >> (8 - bits - (bit & 7))) & (2 ** bits - 1);
}

/** Undoes a line's filter in place: none, left, above, their mean, Paeth. `step` is the distance of the pixel to the left in bytes. */
function unfilter(line: Buffer, above: Buffer, filter: number, step: number): void {
  if (filter === 0) return;
  for (let i = 0; i < line.length; i++) {
    const left = i >= step ? line[i - step]! : 0;
    const up = above[i]!;
    const corner = i >= step ? above[i - step]! : 0;
    const guess =
      filter === 1 ? left : filter === 2 ? up : filter === 3 ? (left + up) >> 1 : paeth(left, up, corner);
    line[i] = line[i]! + guess;
  }
}

function paeth(left: number, up: number, corner: number): number {
  const p = left + up - corner;
  const [a, b, c] = [Math.abs(p - left), Math.abs(p - up), Math.abs(p - corner)];
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

function bad(name: string, what: string): FleetError {
  return new FleetError("BAD_INPUT", `${name}: ${what}`);
}
