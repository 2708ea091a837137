import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Framing } from "../../../coordinator/embedded/framing.ts";

const packets = { publishBytes: 1000, connectBytes: 50, controlBytes: 100 };

function packet(head: number, bodyBytes: number): Buffer {
  const length: number[] = [];
  let left = bodyBytes;
  do {
    length.push(left > 127 ? (left % 128) | 0x80 : left);
    left = Math.floor(left / 128);
  } while (left > 0);
  return Buffer.concat([Buffer.of(head, ...length), Buffer.alloc(bodyBytes, 0x30)]);
}

const connect = packet(0x10, 20);

function opened(): Framing {
  const framing = new Framing(packets);
  framing.pass(connect);
  framing.accept();
  return framing;
}

describe("framing", () => {
  test("lets a CONNECT pass, and what follows it only once that was accepted", () => {
    const framing = new Framing(packets);
    const rest = packet(0xc0, 0);
    expect(framing.pass(Buffer.concat([connect, rest]))).toBe(connect.length);
    expect(framing.stage).toBe("connecting");
    expect(framing.pass(rest)).toBe(0);
    framing.accept();
    expect(framing.pass(rest)).toBe(rest.length);
  });

  test("an HTTP request, a TLS hello and a publish before CONNECT are BAD_MESSAGE at their first byte", () => {
    for (const start of [Buffer.from("GET / HTTP/1.1\r\n"), Buffer.of(0x16, 3, 1), packet(0x32, 10)])
      expect(() => new Framing(packets).pass(start.subarray(0, 1))).toThrow(
        expect.objectContaining({ code: "BAD_MESSAGE" }),
      );
  });

  test.each([
    ["CONNECT", 0x10, 50],
    ["PUBLISH", 0x32, 1000],
    ["SUBSCRIBE", 0x82, 100],
  ])("%s may have its limit and not a byte more, told by the header alone", (_name, head, limit) => {
    const at = () => (head === 0x10 ? new Framing(packets) : opened());
    const fits = packet(head, limit);
    expect(at().pass(fits)).toBe(fits.length);
    const headerOnly = packet(head, limit + 1).subarray(0, limit + 1 > 127 ? 3 : 2);
    expect(() => at().pass(headerOnly)).toThrow(expect.objectContaining({ code: "TOO_LARGE" }));
  });

  test("a length of five bytes, a longer form than needed, QoS 2 and 3, and packets of a broker are BAD_MESSAGE", () => {
    const bad = [
      Buffer.of(0x30, 0x80, 0x80, 0x80, 0x80, 0x01),
      Buffer.of(0x30, 0x85, 0x00),
      packet(0x34, 10),
      packet(0x36, 10),
      connect,
      ...[0x00, 0x20, 0x50, 0x62, 0x70, 0x80, 0x90, 0xb0, 0xd0, 0xf0].map((head) => packet(head, 2)),
    ];
    for (const bytes of bad)
      expect(() => opened().pass(bytes)).toThrow(expect.objectContaining({ code: "BAD_MESSAGE" }));
  });

  test("says the same of a stream, however it is cut into pieces", () => {
    const stream = fc.array(
      fc.oneof(
        fc.integer({ min: 0, max: 1100 }).map((bytes) => packet(0x32, bytes)),
        fc.integer({ min: 0, max: 110 }).map((bytes) => packet(0x82, bytes)),
        fc.constant(packet(0xc0, 0)),
        fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes)),
      ),
      { maxLength: 8 },
    );
    const verdict = (pieces: readonly Uint8Array[]) => {
      const framing = opened();
      try {
        for (const piece of pieces) framing.pass(piece);
        return { begun: framing.begun, midPacket: framing.midPacket };
      } catch (error) {
        return (error as Error).message;
      }
    };
    fc.assert(
      fc.property(stream, fc.integer({ min: 1, max: 64 }), (parts, size) => {
        const whole = Buffer.concat(parts);
        const pieces: Uint8Array[] = [];
        for (let at = 0; at < whole.length; at += size) pieces.push(whole.subarray(at, at + size));
        expect(verdict(pieces)).toEqual(verdict([whole]));
      }),
      { numRuns: 200 },
    );
  });
});
