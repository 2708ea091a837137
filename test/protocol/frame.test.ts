import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FleetError } from "../../protocol/errors.ts";
import { decodeFrame, encodeFrame, layoutSize, sameLayout, type UpdateHeader } from "../../protocol/frame.ts";

const base = "a".repeat(64);
const dims = fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 3 });
const layout = fc.array(fc.record({ name: fc.string({ minLength: 1, maxLength: 20 }), shape: dims }), {
  minLength: 1,
  maxLength: 6,
});

function update(shapes: { name: string; shape: number[] }[], weights: Float32Array): Uint8Array {
  return encodeFrame<UpdateHeader>({ kind: "update", layout: shapes, base, samples: 12 }, weights);
}

describe("weight frame", () => {
  it("any layout and weights come back bit for bit", () => {
    fc.assert(
      fc.property(layout, fc.integer(), (shapes, seed) => {
        const weights = new Float32Array(layoutSize(shapes)).map(
          (_, i) => Math.sin(seed + i) * 2 ** ((seed + i) % 30),
        );
        const frame = decodeFrame(update(shapes, weights));
        expect(frame.weights).toEqual(weights);
        expect(frame.header).toMatchObject({ kind: "update", base, samples: 12, dtype: "f32" });
        expect(sameLayout(frame.header.layout, shapes)).toBe(true);
      }),
    );
  });

  it("comes back from a Buffer that begins anywhere in memory", () => {
    const weights = Float32Array.of(1, -2, 3);
    const frame = update([{ name: "w", shape: [3] }], weights);
    for (let offset = 0; offset < 4; offset++) {
      const place = Buffer.alloc(frame.length + offset);
      place.set(frame, offset);
      expect(decodeFrame(place.subarray(offset)).weights).toEqual(weights);
    }
  });

  it("any single changed byte is refused by a FleetError", () => {
    const weights = Float32Array.from({ length: 12 }, (_, i) => i / 7);
    const frame = update([{ name: "gru/kernel", shape: [3, 4] }], weights);
    fc.assert(
      fc.property(fc.nat(frame.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const damaged = frame.slice();
        damaged[at]! ^= change;
        let result: unknown;
        try {
          result = decodeFrame(damaged);
        } catch (error) {
          expect(error).toBeInstanceOf(FleetError);
          return;
        }
        // What is not weights may still read as another header, such as another sample count: the gate compares that with the offer. Or it is padding.
        expect((result as ReturnType<typeof decodeFrame>).weights).toEqual(weights);
      }),
      { numRuns: 400 },
    );
  });

  it("NaN, infinite and missing weights are refused by their codes", () => {
    const shapes = [{ name: "w", shape: [2] }];
    const code = (frame: Uint8Array) => {
      try {
        decodeFrame(frame);
      } catch (error) {
        return (error as FleetError).code;
      }
      return undefined;
    };
    expect(code(update(shapes, Float32Array.of(1, Number.NaN)))).toBe("NOT_FINITE");
    expect(code(update(shapes, Float32Array.of(1, Number.POSITIVE_INFINITY)))).toBe("NOT_FINITE");
    expect(code(update(shapes, Float32Array.of(1)))).toBe("BAD_SHAPE");
    expect(code(update(shapes, Float32Array.of(1, 2)).subarray(0, -1))).toBe("BAD_SHAPE");
    expect(code(new Uint8Array(3))).toBe("BAD_MESSAGE");
    expect(code(Uint8Array.of(0x53, 0x57, 0x46, 0x31, 0xff, 0xff, 0xff, 0xff))).toBe("TOO_LARGE");
  });
});
