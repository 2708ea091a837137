// What ONNX files are made of: protobuf messages, of which only a few kinds of fields are needed. Writing them takes these lines; the
// packages that can do it also read, and carry a schema of thousands of lines. Source: protobuf.dev/programming-guides/encoding.

const VARINT = 0;
const LENGTH = 2;
const FIXED_32 = 5;

/** A message being written: fields in the order in which they are given. */
export interface Message {
  /** Signed; negative ones take ten bytes, as int64 has it. */
  int(field: number, value: number | bigint): Message;
  float(field: number, value: number): Message;
  text(field: number, value: string): Message;
  bytes(field: number, value: Uint8Array): Message;
  message(field: number, value: Message): Message;
  finish(): Uint8Array;
}

export function message(): Message {
  const parts: Uint8Array[] = [];
  let length = 0;
  const push = (part: Uint8Array) => {
    parts.push(part);
    length += part.length;
  };
  const tag = (field: number, wire: number) => push(varint(BigInt((field << 3) | wire)));
  const own: Message = {
    int(field, value) {
      tag(field, VARINT);
      push(varint(BigInt.asUintN(64, BigInt(value))));
      return own;
    },
    float(field, value) {
      tag(field, FIXED_32);
      const bytes = new Uint8Array(4);
      new DataView(bytes.buffer).setFloat32(0, value, true);
      push(bytes);
      return own;
    },
    text: (field, value) => own.bytes(field, new TextEncoder().encode(value)),
    message: (field, value) => own.bytes(field, value.finish()),
    bytes(field, value) {
      tag(field, LENGTH);
      push(varint(BigInt(value.length)));
      push(value);
      return own;
    },
    finish() {
      const all = new Uint8Array(length);
      let offset = 0;
      for (const part of parts) {
        all.set(part, offset);
        offset += part.length;
      }
      return all;
    },
  };
  return own;
}

/** Seven bits a byte, the lowest first; the top bit says that more follow. */
function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  do {
    const more = rest > 0x7fn;
    bytes.push(Number(rest & 0x7fn) | (more ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Uint8Array.from(bytes);
}
