import { FleetError } from "../../protocol/errors.ts";
import { DEFAULT_MAX_BYTES, fileBytes, type ReadLimits, tooLarge } from "./bytes.ts";

export interface Recording {
  /** Samples per second. */
  readonly rateHz: number;
  /** (samples), -1..1: the mean of the channels. */
  readonly samples: Float32Array;
}

const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;
const MOST_CHANNELS = 64;
const MOST_RATE_HZ = 10_000_000;

/** How one value is read, by format and bits. */
const READERS: Readonly<Record<string, (bytes: Buffer, at: number) => number>> = {
  [`${PCM}/8`]: (bytes, at) => (bytes.readUInt8(at) - 128) / 128,
  [`${PCM}/16`]: (bytes, at) => bytes.readInt16LE(at) / 2 ** 15,
  [`${PCM}/24`]: (bytes, at) => bytes.readIntLE(at, 3) / 2 ** 23,
  [`${PCM}/32`]: (bytes, at) => bytes.readInt32LE(at) / 2 ** 31,
  [`${FLOAT}/32`]: (bytes, at) => bytes.readFloatLE(at),
};

/**
 * Reads a WAV file (also `.gz`): PCM of 8, 16, 24 or 32 bits, or float32, of any number of channels. Throws BAD_INPUT with the file and the byte that
 * is wrong. Source: IBM & Microsoft 1991, Multimedia Programming Interface and Data Specifications 1.0; Microsoft, WAVEFORMATEXTENSIBLE.
 */
export async function readWav(path: string, limits: ReadLimits = {}): Promise<Recording> {
  return decodeWav(await fileBytes(path, limits), path, limits.maxBytes);
}

/** As `readWav`, from bytes; `name` stands in the messages. */
export function decodeWav(bytes: Buffer, name: string, maxBytes = DEFAULT_MAX_BYTES): Recording {
  if (bytes.toString("latin1", 0, 4) !== "RIFF" || bytes.toString("latin1", 8, 12) !== "WAVE")
    throw bad(name, "is not a WAV file (no RIFF and WAVE at byte 0)");
  let format: Format | undefined;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const id = bytes.toString("latin1", at, at + 4);
    const size = bytes.readUInt32LE(at + 4);
    const start = at + 8;
    if (id === "fmt ") format = formatOf(bytes, { start, size }, name);
    if (id === "data") {
      if (!format) throw bad(name, `has its data at byte ${at} before any format ("fmt "); write it again`);
      return samplesOf(bytes, { start, size }, format, { name, maxBytes });
    }
    // Chunks begin at even bytes.
    at = start + size + (size % 2);
  }
  throw bad(name, `ends at byte ${bytes.length} without a data chunk; fetch it again`);
}

interface Chunk {
  readonly start: number;
  readonly size: number;
}

interface Format {
  readonly channels: number;
  readonly rateHz: number;
  readonly bytes: number;
  readonly read: (bytes: Buffer, at: number) => number;
}

function formatOf(bytes: Buffer, { start, size }: Chunk, name: string): Format {
  if (size < 16 || start + size > bytes.length)
    throw bad(name, `ends inside its format chunk, at byte ${start}`);
  const tag = bytes.readUInt16LE(start);
  const channels = bytes.readUInt16LE(start + 2);
  const rateHz = bytes.readUInt32LE(start + 4);
  const block = bytes.readUInt16LE(start + 12);
  const bits = bytes.readUInt16LE(start + 14);
  // The first two bytes of an extensible format's GUID are the tag that it stands for.
  const kind = tag === EXTENSIBLE && size >= 26 ? bytes.readUInt16LE(start + 24) : tag;
  const read = READERS[`${kind}/${bits}`];
  if (!read)
    throw bad(
      name,
      `holds format ${kind} with ${bits} bits (byte ${start}); save it as PCM of 8 to 32 bits or as float32`,
    );
  if (
    channels < 1 ||
    channels > MOST_CHANNELS ||
    rateHz < 1 ||
    rateHz > MOST_RATE_HZ ||
    block !== (channels * bits) / 8
  )
    throw bad(
      name,
      `has ${channels} channels at ${rateHz} Hz in blocks of ${block} bytes (byte ${start + 2}); that can't be`,
    );
  return { channels, rateHz, bytes: bits / 8, read };
}

/** What a program writes that does not know how long the recording will be. */
const UNKNOWN_SIZE = 0xffffffff;

function samplesOf(
  bytes: Buffer,
  { start, size }: Chunk,
  format: Format,
  { name, maxBytes }: { readonly name: string; readonly maxBytes: number },
): Recording {
  const { channels, rateHz, read } = format;
  const there = bytes.length - start;
  if (size !== UNKNOWN_SIZE && size > there)
    throw bad(name, `ends after ${there} of its ${size} data bytes; fetch it again`);
  const frames = Math.floor(Math.min(size, there) / (channels * format.bytes));
  if (frames === 0) throw bad(name, `holds no samples (byte ${start}); check the file`);
  if (frames * 4 > maxBytes) throw tooLarge(name, maxBytes);
  const samples = new Float32Array(frames);
  for (let i = 0, at = start; i < frames; i++) {
    let sum = 0;
    for (let c = 0; c < channels; c++, at += format.bytes) sum += read(bytes, at);
    if (!Number.isFinite(sum)) throw bad(name, `sample ${i + 1} is not a finite number; record it again`);
    samples[i] = sum / channels;
  }
  return { rateHz, samples };
}

function bad(name: string, what: string): FleetError {
  return new FleetError("BAD_INPUT", `${name}: ${what}`);
}
