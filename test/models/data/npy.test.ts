import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeNpy, readNpy, writeNpy } from "../../../models/data/npy.ts";
import { sentenceOf, temporaryFolder } from "./temp-folder.ts";

const folder = temporaryFolder();

function file(name: string, bytes: Uint8Array): string {
  writeFileSync(join(folder, name), bytes);
  return join(folder, name);
}

const header = (descr: string, shape: string, order = "False") =>
  `{'descr': ${descr}, 'fortran_order': ${order}, 'shape': ${shape}, }\n`;

function npy(dict: string, data: Uint8Array, version = 1): Buffer {
  const length = Buffer.alloc(version === 1 ? 2 : 4);
  if (version === 1) length.writeUInt16LE(dict.length);
  else length.writeUInt32LE(dict.length);
  const magic = Buffer.from([0x93, ...Buffer.from("NUMPY"), version, 0]);
  return Buffer.concat([magic, length, Buffer.from(dict), data]);
}

// Written by numpy 2.4.6: the matrix [[1.5, -2, 3], [4, 5.25, -6]].
const NUMPY_FILES = {
  "<f4":
    "k05VTVBZAQB2AHsnZGVzY3InOiAnPGY0JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDIsIDMpLCB9ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAMA/AAAAwAAAQEAAAIBAAACoQAAAwMA=",
  ">f8":
    "k05VTVBZAQB2AHsnZGVzY3InOiAnPmY4JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDIsIDMpLCB9ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAo/+AAAAAAAAMAAAAAAAAAAQAgAAAAAAABAEAAAAAAAAEAVAAAAAAAAwBgAAAAAAAA=",
  fortran:
    "k05VTVBZAQB2AHsnZGVzY3InOiAnPGY0JywgJ2ZvcnRyYW5fb3JkZXInOiBUcnVlLCAnc2hhcGUnOiAoMiwgMyksIH0gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAMA/AACAQAAAAMAAAKhAAABAQAAAwMA=",
  v3: "k05VTVBZAwB0AAAAeydkZXNjcic6ICc8ZjQnLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoMiwgMyksIH0gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAMA/AAAAwAAAQEAAAIBAAACoQAAAwMA=",
};

for (const [name, base64] of Object.entries(NUMPY_FILES)) {
  test(`npy - reads what numpy wrote: ${name}, plain and gzipped`, async () => {
    const bytes = Buffer.from(base64, "base64");
    for (const path of [file("m.npy", bytes), file("m.npy.gz", gzipSync(bytes))]) {
      const array = await readNpy(path);
      expect(array.shape).toEqual([2, 3]);
      expect([...array.values]).toEqual([1.5, -2, 3, 4, 5.25, -6]);
    }
  });
}

test("npy - reads every number type in both byte orders", async () => {
  const cases: [string, number, (view: DataView, little: boolean) => void, number][] = [
    ["f4", 4, (v, le) => v.setFloat32(0, 1.5, le), 1.5],
    ["f8", 8, (v, le) => v.setFloat64(0, -0.25, le), -0.25],
    ["i1", 1, (v) => v.setInt8(0, -7), -7],
    ["i2", 2, (v, le) => v.setInt16(0, -300, le), -300],
    ["i4", 4, (v, le) => v.setInt32(0, -70_000, le), -70_000],
    ["i8", 8, (v, le) => v.setBigInt64(0, -5_000_000n, le), -5_000_000],
    ["u1", 1, (v) => v.setUint8(0, 200), 200],
    ["u2", 2, (v, le) => v.setUint16(0, 60_000, le), 60_000],
    ["u4", 4, (v, le) => v.setUint32(0, 3_000_000_000, le), 3_000_000_000],
    ["b1", 1, (v) => v.setUint8(0, 1), 1],
  ];
  for (const [code, size, write, expected] of cases) {
    for (const order of size === 1 ? ["|"] : ["<", ">"]) {
      const data = new Uint8Array(size);
      write(new DataView(data.buffer), order !== ">");
      const { values, dtype } = await decodeNpy([npy(header(`'${order}${code}'`, "(1,)"), data)], "x.npy");
      expect([dtype, ...values]).toEqual([code, expected]);
    }
  }
});

test("npy - write and read give the same bits, however the bytes are cut into chunks", async () => {
  const property = fc.asyncProperty(
    fc.float32Array({ minLength: 1, maxLength: 60 }),
    fc.integer({ min: 1, max: 50 }),
    fc.boolean(),
    async (values, chunk, gz) => {
      const path = join(folder, gz ? "round.npy.gz" : "round.npy");
      await writeNpy(path, values, [values.length]);
      expect((await readNpy(path)).values).toEqual(values);
      const bytes = npy(header("'<f4'", `(${values.length},)`), new Uint8Array(values.slice().buffer));
      const pieces = Array.from({ length: Math.ceil(bytes.length / chunk) }, (_, i) =>
        bytes.subarray(i * chunk, (i + 1) * chunk),
      );
      expect((await decodeNpy(pieces, "x.npy")).values).toEqual(values);
    },
  );
  await fc.assert(property, { numRuns: 50 });
});

test("npy - writes uint8 with a shape, and refuses a shape that does not hold the array", async () => {
  const path = join(folder, "u1.npy");
  await writeNpy(path, Uint8Array.of(0, 1, 1, 0), [2, 2]);
  expect(await readNpy(path)).toEqual({ dtype: "u1", shape: [2, 2], values: Float32Array.of(0, 1, 1, 0) });
  expect(await sentenceOf(writeNpy(path, new Uint8Array(4), [3]), folder)).toBe(
    "BAD_INPUT u1.npy: the shape (3) does not hold 4 values; pass the array's own",
  );
  expect(await sentenceOf(writeNpy(join(folder, "no/x.npy"), new Uint8Array(1), [1]), folder)).toBe(
    "BAD_INPUT no/x.npy: can't be written (ENOENT); check the folder",
  );
});

const good = npy(header("'<f4'", "(2, 2)"), new Uint8Array(16));
const gz = gzipSync(Buffer.concat([good, Buffer.alloc(0)]));
const damaged = gz.map((byte, i) => (i === gz.length - 6 ? byte ^ 0xff : byte));
const types = "f4, f8, i1, i2, i4, i8, u1, u2, u4, b1";
const MALFORMED: [name: string, bytes: Uint8Array, sentence: string][] = [
  ["empty.npy", new Uint8Array(0), "is empty"],
  ["magic.npy", Buffer.from("NUMPY but not really"), "is not an .npy file (bad magic at byte 0)"],
  ["zip.npy", gz, "is not an .npy file (bad magic at byte 0); it is gzip data, so name it .npy.gz"],
  ["short.npy", good.subarray(0, 30), "ends inside its header, at byte 30"],
  ["cut.npy", good.subarray(0, good.length - 3), "ends after 13 of the 16 data bytes of its shape (2, 2)"],
  [
    "long.npy",
    Buffer.concat([good, Buffer.from("x")]),
    "holds more bytes than its shape (2, 2) needs; write the file again",
  ],
  [
    "v9.npy",
    npy(header("'<f4'", "(1,)"), new Uint8Array(4), 9),
    "has .npy format version 9 at byte 6; save it with format version 1, 2 or 3",
  ],
  [
    "object.npy",
    npy(header("'|O'", "(2,)"), new Uint8Array(99)),
    `has dtype '|O' (key 'descr'); convert it to one of ${types}`,
  ],
  [
    "fields.npy",
    npy(header("[('a', '<f4')]", "(2,)"), new Uint8Array(8)),
    `has dtype 'structured' (key 'descr'); convert it to one of ${types}`,
  ],
  [
    "noshape.npy",
    npy("{'descr': '<f4', 'fortran_order': False}", new Uint8Array(4)),
    "has no key 'shape' in its header; save it again with numpy.save",
  ],
  [
    "cube.npy",
    npy(header("'<f4'", "(2, 2, 2)", "True"), new Uint8Array(32)),
    "is in Fortran order with 3 dimensions; save numpy.ascontiguousarray(x)",
  ],
  [
    "huge.npy",
    npy(header("'<f4'", "(999999, 999999)"), new Uint8Array(4)),
    "holds more than 536870912 bytes; raise maxBytes or split it",
  ],
  ["cut.npy.gz", gz.subarray(0, gz.length - 12), "the gzip data ends early, after "],
  ["damaged.npy.gz", damaged, "damaged gzip data after "],
  ["plain.npy.gz", good, "damaged gzip data after 0 bytes of content; fetch the file again"],
];
for (const [name, bytes, sentence] of MALFORMED) {
  test(`npy - says in one sentence what is wrong with ${name}`, async () => {
    const said = await sentenceOf(readNpy(file(name, bytes)), folder);
    expect(said.startsWith(`BAD_INPUT ${name}: ${sentence}`), said).toBe(true);
  });
}

test("npy - stops a gzip bomb at maxBytes, and a file that is not there", async () => {
  const bomb = file("bomb.npy.gz", gzipSync(npy(header("'|u1'", "(400000,)"), new Uint8Array(400_000))));
  expect(await sentenceOf(readNpy(bomb, { maxBytes: 50_000 }), folder)).toBe(
    "BAD_INPUT bomb.npy.gz: holds more than 50000 bytes; raise maxBytes or split it",
  );
  expect(await sentenceOf(readNpy(join(folder, "none.npy.gz")), folder)).toBe(
    "BAD_INPUT none.npy.gz: there is no such file; check the path",
  );
  expect(await sentenceOf(readNpy(bomb, { signal: AbortSignal.abort() }), folder)).toBe(
    "ABORTED bomb.npy.gz: reading was stopped",
  );
});
