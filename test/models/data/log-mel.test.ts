import { writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { powerSpectrum } from "../../../models/data/fft.ts";
import { logMel } from "../../../models/data/log-mel.ts";
import { readSeries } from "../../../models/data/read.ts";
import { decodeWav } from "../../../models/data/wav.ts";
import { sentenceOf, temporaryFolder } from "./temp-folder.ts";

const root = temporaryFolder();

interface WavOptions {
  readonly kind?: number;
  readonly bits?: number;
  readonly channels?: number;
  readonly rateHz?: number;
}

/** A WAV file around data bytes, with a chunk before them that no reader needs. */
function wavOf(
  data: Uint8Array,
  { kind = 1, bits = 16, channels = 1, rateHz = 8000 }: WavOptions = {},
): Buffer {
  const head = Buffer.alloc(56);
  head.write("RIFF", 0);
  head.writeUInt32LE(48 + data.length, 4);
  head.write("WAVEfmt ", 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(kind, 20);
  head.writeUInt16LE(channels, 22);
  head.writeUInt32LE(rateHz, 24);
  head.writeUInt32LE((rateHz * channels * bits) / 8, 28);
  head.writeUInt16LE((channels * bits) / 8, 32);
  head.writeUInt16LE(bits, 34);
  head.write("LIST", 36);
  head.writeUInt32LE(3, 40); // odd: a byte of padding follows
  head.write("data", 48);
  head.writeUInt32LE(data.length, 52);
  return Buffer.concat([head, data]);
}

/** A chirp with noise, whole numbers from here to the fixture's program. */
function chirp(): Int16Array {
  let state = 12_345;
  return Int16Array.from({ length: 4000 }, (_, i) => {
    state = Number((BigInt(state) * 1_103_515_245n + 12_345n) % 2_147_483_648n);
    const t = i / 8000;
    return Math.round(
      8000 * Math.sin(2 * Math.PI * (200 * t + 300 * t * t)) + 2000 * (state / 2_147_483_648 - 0.5),
    );
  });
}

// numpy.log(numpy.maximum(librosa.feature.melspectrogram(y, sr=8000, power=2, ...), 1e-10)) with librosa 0.11.0, some of the frames.
const LIBROSA = {
  slaney: {
    shape: [16, 12],
    rows: {
      "0": [
        1.22752, -0.5479, -5.22601, -6.07907, -5.81714, -6.38955, -6.64221, -6.61319, -5.88697, -6.65123,
        -6.37095, -6.02346,
      ],
      "1": [
        1.87292, 0.57649, -5.69723, -6.16283, -6.0717, -5.67931, -5.33441, -5.55506, -5.46409, -5.71246,
        -5.51777, -5.49498,
      ],
      "7": [
        0.16491, 1.92845, -5.33993, -5.92527, -6.14442, -5.79798, -5.1884, -5.51136, -5.54808, -5.56522,
        -5.50974, -5.3267,
      ],
      "15": [
        -4.97308, 0.85812, 1.72398, -4.87918, -5.07596, -5.25839, -5.2586, -5.38451, -5.84198, -5.80815,
        -5.32776, -5.67294,
      ],
    },
    mean: -4.47980478607739,
  },
  htk: {
    shape: [19, 10],
    rows: {
      "0": [5.66497, 4.38991, -0.8659, -1.92129, -1.77174, -1.13898, -0.46023, -0.78292, -1.09754, -0.75473],
      "1": [5.51521, 4.75739, -1.98655, -1.57697, -1.93299, -1.23268, -0.97507, -1.37326, -0.85849, -0.56704],
      "7": [3.58947, 5.7636, 2.07158, -1.7206, -1.45028, -1.2551, -0.94882, -1.07497, -1.24394, -0.41014],
      "18": [-2.05579, 3.7524, 5.77876, -0.24861, -1.24313, -0.92912, -1.02269, -0.91596, -0.77813, -0.81377],
    },
    mean: 0.0894843297961511,
  },
} as const;

const OPTIONS = {
  slaney: { frame: 512, hop: 256, bands: 12 },
  htk: { frame: 256, hop: 200, bands: 10, lowHz: 50, highHz: 3500, scale: "htk", centred: false },
} as const;

for (const kind of ["slaney", "htk"] as const) {
  test(`log-mel - equals librosa within 1e-4, ${kind}`, async () => {
    const samples = chirp();
    expect([...samples.subarray(0, 5)]).toEqual([310, 861, 2823, 2847, 4738]);
    expect(samples.reduce((a, b) => a + b, 0)).toBe(58001);
    const recording = decodeWav(wavOf(new Uint8Array(samples.buffer)), "x");
    const { rows, channels, values, rateHz } = logMel(recording, OPTIONS[kind]);
    const { shape, rows: wanted, mean } = LIBROSA[kind];
    expect([rows, channels]).toEqual(shape);
    expect(rateHz).toBe(8000 / OPTIONS[kind].hop);
    for (const [row, bands] of Object.entries(wanted))
      (bands as readonly number[]).forEach((value, b) => {
        expect(Math.abs(values[Number(row) * channels + b]! - value)).toBeLessThan(1e-4);
      });
    expect(Math.abs(values.reduce((a, b) => a + b, 0) / values.length - mean)).toBeLessThan(1e-4);
  });
}

test("fft - equals the sum that defines it", () => {
  const property = fc.property(
    fc.constantFrom(2, 4, 8, 64),
    fc.infiniteStream(fc.double({ min: -1, max: 1, noNaN: true })),
    (n, stream) => {
      const signal = Float64Array.from([...stream.take(n)]);
      const power = new Float64Array(n / 2 + 1);
      powerSpectrum(n)(signal, power);
      power.forEach((p, k) => {
        let [re, im] = [0, 0];
        signal.forEach((x, i) => {
          re += x * Math.cos((2 * Math.PI * k * i) / n);
          im -= x * Math.sin((2 * Math.PI * k * i) / n);
        });
        expect(Math.abs(p - (re * re + im * im))).toBeLessThan(1e-9);
      });
    },
  );
  fc.assert(property, { numRuns: 100 });
  expect(() => powerSpectrum(1000)).toThrow(
    "an FFT over 1000 samples can't be; use a power of two, such as 1024",
  );
});

test("wav - every kind of sample, several channels as their mean", () => {
  const bytes = (size: number, write: (b: Buffer) => unknown) => {
    const b = Buffer.alloc(size);
    write(b);
    return b;
  };
  const samples = (data: Uint8Array, options: WavOptions) => [
    ...decodeWav(wavOf(data, options), "x").samples,
  ];
  expect(samples(Uint8Array.of(0, 128, 192), { bits: 8 })).toEqual([-1, 0, 0.5]);
  expect(
    samples(
      bytes(4, (b) => {
        b.writeInt16LE(-32_768, 0);
        b.writeInt16LE(16_384, 2);
      }),
      { bits: 16 },
    ),
  ).toEqual([-1, 0.5]);
  expect(
    samples(
      bytes(6, (b) => {
        b.writeIntLE(-8_388_608, 0, 3);
        b.writeIntLE(4_194_304, 3, 3);
      }),
      { bits: 24 },
    ),
  ).toEqual([-1, 0.5]);
  expect(
    samples(
      bytes(4, (b) => b.writeInt32LE(-(2 ** 30), 0)),
      { bits: 32 },
    ),
  ).toEqual([-0.5]);
  expect(
    samples(
      bytes(8, (b) => {
        b.writeFloatLE(0.25, 0);
        b.writeFloatLE(0.75, 4);
      }),
      { kind: 3, bits: 32, channels: 2 },
    ),
  ).toEqual([0.5]);
});

test("wav - what is wrong is said with its place", async () => {
  const path = join(root, "x.wav");
  const good = wavOf(new Uint8Array(100));
  const changed = (change: (b: Buffer) => void) => {
    const b = Buffer.from(good);
    change(b);
    return b;
  };
  for (const [content, sentence] of [
    [Buffer.from("RIFX"), "is not a WAV file (no RIFF and WAVE at byte 0)"],
    [good.subarray(0, 100), "ends after 44 of its 100 data bytes; fetch it again"],
    [good.subarray(0, 48), "ends at byte 48 without a data chunk; fetch it again"],
    [
      changed((b) => b.writeUInt16LE(2, 20)),
      "holds format 2 with 16 bits (byte 20); save it as PCM of 8 to 32 bits or as float32",
    ],
    [
      changed((b) => b.writeUInt32LE(0, 24)),
      "has 1 channels at 0 Hz in blocks of 2 bytes (byte 22); that can't be",
    ],
    [wavOf(new Uint8Array(0)), "holds no samples (byte 56); check the file"],
    [
      wavOf(Buffer.from([0, 0, 0xc0, 0x7f]), { kind: 3, bits: 32 }),
      "sample 1 is not a finite number; record it again",
    ],
  ] as const) {
    writeFileSync(path, content);
    expect(await sentenceOf(readSeries(path), root)).toBe(`BAD_INPUT x.wav: ${sentence}`);
  }
});

test("wav - any damage ends in a recording or in one sentence", () => {
  const good = wavOf(new Uint8Array(64));
  const property = fc.property(
    fc.nat(good.length),
    fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 }),
    (length, changes) => {
      const damaged = Buffer.from(good.subarray(0, length));
      for (const [at, byte] of changes) if (at < length) damaged[at] = byte;
      try {
        expect(decodeWav(damaged, "x").samples.length).toBeGreaterThan(0);
      } catch (error) {
        expect((error as { code?: string }).code).toBe("BAD_INPUT");
      }
    },
  );
  fc.assert(property, { numRuns: 1000 });
});

test("wav - read as a series by its ending, and options that can't be are said", async () => {
  const path = join(root, "tone.wav");
  writeFileSync(path, wavOf(new Uint8Array(chirp().buffer)));
  const series = await readSeries(path);
  expect([series.rows, series.channels, series.rateHz]).toEqual([8, 64, 8000 / 512]);
  expect(series.names.slice(0, 2)).toEqual(["mel1", "mel2"]);
  const recording = { rateHz: 8000, samples: new Float32Array(100) };
  expect(() => logMel(recording, { highHz: 5000 })).toThrow(
    "bands from 0 to 5000 Hz can't be heard at 8000 samples a second; keep to 0..4000",
  );
  expect(() => logMel(recording, { centred: false })).toThrow(
    "100 samples are shorter than a frame of 1024; record longer",
  );
  expect(() => logMel(recording, { hop: 0 })).toThrow("a hop of 0");
  expect(() => logMel({ ...recording, samples: new Float32Array(1e5) }, { hop: 1 }, 1e6)).toThrow(
    "the spectrogram: holds more than",
  );
});
