import { Encoder } from "@msgpack/msgpack";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { decode, encode } from "../../protocol/codec.ts";
import { FleetError } from "../../protocol/errors.ts";
import { limits } from "../../protocol/limits.ts";
import { Heartbeat, Request, StateMessage } from "../../protocol/messages.ts";

function codeOf(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return error instanceof FleetError ? error.code : `not a FleetError: ${String(error)}`;
  }
}

const scalar = fc.oneof(
  fc.integer({ min: -(2 ** 53) + 1, max: 2 ** 53 - 1 }),
  fc.double({ noNaN: true }),
  fc.string({ maxLength: 300 }),
  fc.boolean(),
  fc.constant(null),
  fc.uint8Array({ maxLength: 300 }),
);
const value = fc.oneof(
  scalar,
  fc.array(scalar, { maxLength: 64 }),
  fc.dictionary(
    fc.string({ maxLength: 20 }).filter((key) => key !== "__proto__"),
    fc.oneof(scalar, fc.array(fc.array(scalar, { maxLength: 5 }), { maxLength: 5 })),
    { maxKeys: 30 },
  ),
);

describe("codec", () => {
  it("any value of the protocol's kinds comes back as it was", () => {
    fc.assert(
      fc.property(value, (input) => {
        const bytes = encode(input, { maxBytes: 1 << 20 });
        expect(decode(z.unknown(), bytes, { maxBytes: 1 << 20 })).toEqual(plain(input));
      }),
      { numRuns: 300 },
    );
  });

  it("any bytes are decoded or refused by a FleetError, never anything else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        for (const schema of [StateMessage, Request, Heartbeat, z.unknown()]) {
          expect([undefined, "BAD_MESSAGE", "TOO_LARGE"]).toContain(codeOf(() => decode(schema, bytes)));
        }
      }),
      { numRuns: 500 },
    );
  });

  it("a valid message with any bit flipped is decoded or refused, never a crash", () => {
    const bytes = encode({ kind: "death", bootSeq: 7, reason: "lost" });
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(7), (at, bit) => {
        const damaged = bytes.slice();
        damaged[at]! ^= 1 << bit;
        expect([undefined, "BAD_MESSAGE", "TOO_LARGE"]).toContain(
          codeOf(() => decode(StateMessage, damaged)),
        );
      }),
    );
  });

  it("a bomb of nested arrays is refused before anything is built from it", () => {
    const bomb = new Uint8Array(6 * 1024).fill(0x91); // [[[[...
    expect(codeOf(() => decode(z.unknown(), bomb))).toBe("TOO_LARGE");
  });

  it("containers that announce more than they hold are refused", () => {
    expect(codeOf(() => decode(z.unknown(), Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff)))).toBe("TOO_LARGE");
    expect(codeOf(() => decode(z.unknown(), Uint8Array.of(0xdf, 0x7f, 0xff, 0xff, 0xff)))).toBe("TOO_LARGE");
    expect(codeOf(() => decode(z.unknown(), Uint8Array.of(0x93, 1)))).toBe("BAD_MESSAGE");
    expect(codeOf(() => decode(z.unknown(), Uint8Array.of(0xc6, 0xff, 0xff, 0xff, 0xff)))).toBe(
      "BAD_MESSAGE",
    );
  });

  it("65 entries, 9 levels and extension types are refused, 64 entries and 8 levels are not", () => {
    const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);
    const encoder = new Encoder({ maxDepth: 100 });
    expect(codeOf(() => decode(z.unknown(), encoder.encode(new Array(65).fill(0))))).toBe("TOO_LARGE");
    expect(codeOf(() => decode(z.unknown(), encoder.encode(new Array(64).fill(0))))).toBeUndefined();
    expect(codeOf(() => decode(z.unknown(), encoder.encode(nested(limits.depth + 1))))).toBe("TOO_LARGE");
    expect(codeOf(() => decode(z.unknown(), encoder.encode(nested(limits.depth))))).toBeUndefined();
    expect(codeOf(() => decode(z.unknown(), encoder.encode(new Date(0))))).toBe("BAD_MESSAGE");
  });

  it("bytes after the message are refused", () => {
    expect(codeOf(() => decode(z.unknown(), Uint8Array.of(1, 2)))).toBe("BAD_MESSAGE");
  });

  it("a control message over 16 KiB is refused on both sides", () => {
    const large = new Uint8Array(limits.controlBytes);
    expect(codeOf(() => encode(large))).toBe("TOO_LARGE");
    expect(codeOf(() => decode(z.unknown(), encode(large, { maxBytes: 1 << 20 })))).toBe("TOO_LARGE");
  });

  it("a message that is not what its topic asks for is named by its field", () => {
    const bytes = encode({ kind: "death", bootSeq: -1, reason: "lost" });
    expect(() => decode(StateMessage, bytes)).toThrow(/bootSeq/);
  });
});

/** Uint8Arrays compare by content, and -0 is written as an integer 0. */
function plain(input: unknown): unknown {
  if (typeof input === "number") return input + 0 === 0 ? expect.closeTo(0) : input;
  if (input instanceof Uint8Array) return new Uint8Array(input);
  if (Array.isArray(input)) return input.map(plain);
  if (input !== null && typeof input === "object") {
    return Object.fromEntries(Object.entries(input).map(([key, item]) => [key, plain(item)]));
  }
  return input;
}
