import { FleetError } from "../../protocol/errors.ts";
import { limits } from "../../protocol/limits.ts";
import { type ChannelSketch, MOST_LEVELS, type QuantileSketch } from "./quantile-sketch.ts";

const VERSION = 1;
/** Version, channels, maxBuckets. */
const HEADER_BYTES = 1 + 2 + 2;
const MOST_BUCKETS = 0xffff;
/** Buckets to base 1.02 from 1e-200 to 1e39 are fewer than 2^15, in 3 bytes as a difference; a count up to 2^53 takes 8. */
const BUCKET_BYTES = 3 + 8;
/** Centre, resolution, level, number of buckets. */
const CHANNEL_BYTES = 8 + 8 + 1 + 3;

/** The most bytes that a sketch of this size takes; usual is a fifth of it. */
export function maxSketchBytes(channels: number, maxBuckets: number): number {
  return HEADER_BYTES + channels * (CHANNEL_BYTES + maxBuckets * BUCKET_BYTES);
}

/**
 * A sketch as bytes: u8 version, u16 channels, u16 maxBuckets, then per channel float64 centre and resolution, u8 level, the number of
 * buckets, and for each bucket in rising order the difference to the one before (zigzag) and its count; little-endian, whole numbers as
 * LEB128. Equal sketches are equal bytes.
 */
export function encodeSketch({ frame, channels }: QuantileSketch): Uint8Array {
  if (channels.length > limits.channels || frame.maxBuckets > MOST_BUCKETS) {
    throw new FleetError(
      "TOO_LARGE",
      `a sketch of ${channels.length} channels with ${frame.maxBuckets} buckets can't be sent; the most are ${limits.channels} and ${MOST_BUCKETS}`,
    );
  }
  const out = Buffer.alloc(maxSketchBytes(channels.length, frame.maxBuckets));
  let at = out.writeUInt8(VERSION);
  at = out.writeUInt16LE(channels.length, at);
  at = out.writeUInt16LE(frame.maxBuckets, at);
  const whole = (value: number) => {
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) at = out.writeUInt8((rest % 0x80) | 0x80, at);
    at = out.writeUInt8(rest, at);
  };
  channels.forEach(({ level, counts }, c) => {
    at = out.writeDoubleLE(frame.centre[c]!, at);
    at = out.writeDoubleLE(frame.resolution[c]!, at);
    at = out.writeUInt8(level, at);
    whole(counts.size);
    let last = 0;
    for (const [bucket, count] of [...counts].sort(([a], [b]) => a - b)) {
      const step = bucket - last;
      whole(step >= 0 ? 2 * step : -2 * step - 1);
      whole(count);
      last = bucket;
    }
  });
  return Uint8Array.from(out.subarray(0, at));
}

/** Reads what `encodeSketch` wrote. Throws BAD_MESSAGE for anything else, NOT_FINITE for a frame of NaN or infinity. */
export function decodeSketch(encoded: Uint8Array): QuantileSketch {
  const bytes = Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  let at = 0;
  const take = (size: number) => {
    if (at + size > bytes.length) throw bad(`ends early, at byte ${bytes.length}`);
    at += size;
    return at - size;
  };
  const whole = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 0x80) {
      const byte = bytes.readUInt8(take(1));
      value += (byte & 0x7f) * scale;
      if (!Number.isSafeInteger(value)) throw bad(`holds a number that is too large before byte ${at}`);
      // One way to write each number, so that equal sketches are equal bytes.
      if (byte === 0 && scale > 1) throw bad(`holds a number that is written too long before byte ${at}`);
      if (byte < 0x80) return value;
    }
  };
  const version = bytes.readUInt8(take(1));
  if (version !== VERSION) throw bad(`has version ${version}, not ${VERSION}`);
  const count = bytes.readUInt16LE(take(2));
  const maxBuckets = bytes.readUInt16LE(take(2));
  if (count < 1 || count > limits.channels || maxBuckets < 3)
    throw bad(`has ${count} channels and ${maxBuckets} buckets`);
  const centre = new Float64Array(count);
  const resolution = new Float64Array(count);
  const channels = Array.from({ length: count }, (_, c): ChannelSketch => {
    centre[c] = bytes.readDoubleLE(take(8));
    resolution[c] = bytes.readDoubleLE(take(8));
    if (!Number.isFinite(centre[c]) || !Number.isFinite(resolution[c]))
      throw new FleetError("NOT_FINITE", "a quantile sketch has a centre or resolution that is not finite");
    if (!(resolution[c]! > 0)) throw bad(`has a resolution of ${resolution[c]}`);
    const level = bytes.readUInt8(take(1));
    const size = whole();
    if (level > MOST_LEVELS || size > maxBuckets)
      throw bad(`has a channel of level ${level} and ${size} buckets`);
    const counts = new Map<number, number>();
    let last = 0;
    let sum = 0;
    for (let i = 0; i < size; i++) {
      const step = whole();
      const bucket = last + (step % 2 === 0 ? step / 2 : -(step + 1) / 2);
      const n = whole();
      sum += n;
      if ((i > 0 && bucket <= last) || Math.abs(bucket) > FARTHEST_BUCKET)
        throw bad(`has a bucket out of place before byte ${at}`);
      if (n === 0 || !Number.isSafeInteger(sum)) throw bad(`has a count that can't be before byte ${at}`);
      counts.set(bucket, n);
      last = bucket;
    }
    return { level, counts };
  });
  if (at !== bytes.length) throw bad(`has ${bytes.length - at} bytes after its end`);
  return { frame: { centre, resolution, maxBuckets }, channels };
}

/** ln(1e39 / 1e-200) / ln(BASE), rounded up to a power of two. */
const FARTHEST_BUCKET = 2 ** 15;

function bad(what: string): FleetError {
  return new FleetError("BAD_MESSAGE", `a quantile sketch ${what}; the device must sketch again`);
}
