import jpeg from "jpeg-js";
import { FleetError } from "../../protocol/errors.ts";
import { checkSize, type ImageOptions, type Picture } from "./picture.ts";

/** Progressive files have about ten scans; each one more costs the time of the whole picture again. */
const MOST_SCANS = 64;
/** Bytes that the decoder may take for each pixel that is allowed, and what it takes besides. */
const DECODER_BYTES = { perPixel: 48, besides: 32 * 1024 * 1024 } as const;
const MIB = 1024 * 1024;

/**
 * Decodes a JPEG, baseline or progressive, grey or colour. Size and number of scans are read from the headers first. How the camera was held
 * (Exif) is not regarded. Throws BAD_INPUT.
 */
export function decodeJpeg(bytes: Uint8Array, name: string, options: ImageOptions = {}): Picture {
  const header = headerOf(bytes, name);
  checkSize(header, name, options);
  const { width, height, components } = header;
  if (components !== 1 && components !== 3)
    throw bad(name, `has ${components} colour channels; save it as grey or RGB`);
  let data: Uint8Array;
  try {
    const decoded = jpeg.decode(bytes, {
      useTArray: true,
      formatAsRGBA: false,
      tolerantDecoding: false,
      maxResolutionInMP: (width * height) / 1e6 + 1,
      maxMemoryUsageInMB: (width * height * DECODER_BYTES.perPixel + DECODER_BYTES.besides) / MIB,
    });
    if (decoded.width !== width || decoded.height !== height) throw new Error("another size than its header");
    data = decoded.data;
  } catch (cause) {
    throw new FleetError(
      "BAD_INPUT",
      `${name}: its image data is damaged (${(cause as Error).message}); fetch it again`,
      { cause },
    );
  }
  if (components === 3) return { width, height, channels: 3, pixels: data, most: 255 };
  return {
    width,
    height,
    channels: 1,
    pixels: Uint8Array.from({ length: width * height }, (_, i) => data[3 * i]!),
    most: 255,
  };
}

interface Header {
  readonly width: number;
  readonly height: number;
  readonly components: number;
}

/** Source: ITU-T T.81 (JPEG), annex B: markers are 0xFF and a code, most with a length of two bytes behind. */
function headerOf(bytes: Uint8Array, name: string): Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let header: Header | undefined;
  let scans = 0;
  for (let at = 2; at + 4 <= bytes.length; ) {
    const code = bytes[at + 1]!;
    // Inside the data of a scan, and fill bytes before a marker: on to the next marker.
    if (bytes[at] !== 0xff || code === 0 || code === 0xff || (code >= RST0 && code <= RST7)) {
      at++;
      continue;
    }
    if (code === EOI) break;
    const size = view.getUint16(at + 2);
    if (size < 2) throw bad(name, `has a segment of ${size} bytes at byte ${at}; fetch it again`);
    if (FRAMES.has(code)) {
      if (header) throw bad(name, `has a second frame at byte ${at}; save it as a single picture`);
      if (at + 10 > bytes.length) break;
      header = { height: view.getUint16(at + 5), width: view.getUint16(at + 7), components: bytes[at + 9]! };
    }
    if (code === SOS && ++scans > MOST_SCANS)
      throw bad(name, `has more than ${MOST_SCANS} scans; save it again`);
    at += 2 + size;
  }
  if (!header || scans === 0) throw bad(name, "has no picture in it, or ends early; fetch it again");
  return header;
}

const [RST0, RST7, EOI, SOS] = [0xd0, 0xd7, 0xd9, 0xda];
/** SOF0 to SOF15; 0xC4, 0xC8 and 0xCC are tables. */
const FRAMES: ReadonlySet<number> = new Set([
  0xc0, 0xc1, 0xc2, 0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf,
]);

function bad(name: string, what: string): FleetError {
  return new FleetError("BAD_INPUT", `${name}: ${what}`);
}
