// Compiles models/kernels/assembly (AssemblyScript) to WASM, once with plain SIMD and once with relaxed SIMD, and writes
// both, deflated and in base64, as models/kernels/wasm.ts, with an interface of their functions: as a module it needs no
// path at run time, in the source tree, in dist and in the one-file agent alike. models/kernels/load.ts picks one.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { deflateRawSync } from "node:zlib";

/** Of each build: a process loads one of them. */
const LIMIT_BYTES = 200 * 1024;
const BUILDS = { plain: [], relaxed: ["--enable=relaxed-simd"] };
const OPTIONS = [
  "-O3",
  "--converge",
  "--noAssert",
  "--runtime=stub",
  "--enable=simd",
  "--importMemory",
  "--zeroFilledMemory", // or the scratch would be written out as zeros
  "--disableWarning=112",
  "--use=abort=",
  "--bindings=raw", // for the .d.ts alone
];

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const sources = join(root, "models/kernels/assembly");
const target = join(root, "models/kernels/wasm.ts");
const manifest = createRequire(import.meta.url).resolve("assemblyscript/package.json");

const digest = sourceDigest();
if (existsSync(target) && readFileSync(target, "utf8").includes(digest)) process.exit(0);

const scratch = mkdtempSync(join(tmpdir(), "starling-kernels-"));
try {
  const asc = join(dirname(manifest), "bin/asc.js");
  const built = Object.entries(BUILDS).map(([name, options]) => {
    const file = join(scratch, `${name}.wasm`);
    const args = [asc, join(sources, "index.ts"), "--outFile", file, ...OPTIONS, ...options];
    execFileSync(process.execPath, args, { stdio: "inherit", cwd: sources });
    return { name, wasm: readFileSync(file), declarations: file.replace(/wasm$/, "d.ts") };
  });
  const bytes = Math.max(...built.map(({ wasm }) => wasm.length));
  if (bytes > LIMIT_BYTES) throw new Error(`the kernels are ${bytes} bytes, the limit is ${LIMIT_BYTES}`);
  const sizes = built.map(({ name, wasm }) => `${name} ${wasm.length} bytes`).join(", ");
  const lines = [
    "// Written by scripts/build-kernels.mjs from models/kernels/assembly; not in git.",
    `// sources: ${digest}, ${sizes} of WASM`,
    ...built.map(({ name, wasm }) => `export const ${name}Deflated =\n  "${deflated(wasm)}";`),
    "/** Addresses count bytes, lengths count floats; what each argument holds stands at its definition. */",
    `export interface KernelFunctions {\n${signatures(built[0].declarations).join("\n")}\n}`,
  ];
  // A rename is atomic: two builds at once, or a reader in between, never see half a file.
  const next = `${target}.${process.pid}`;
  writeFileSync(next, `${lines.join("\n")}\n`);
  renameSync(next, target);
  console.log(`kernels: ${sizes}`);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

/** A quarter of the size: every thread of an agent holds the text of its program, this in it. */
function deflated(wasm) {
  return deflateRawSync(wasm, { level: 9 }).toString("base64");
}

/** `name(args): result;` of each exported function, as the compiler declares it. WASM gives a bool as 0 or 1. */
function signatures(declarations) {
  return readFileSync(declarations, "utf8")
    .split("\n")
    .flatMap((line) => /^ +export function (.*;)$/.exec(line)?.[1] ?? [])
    .map((signature) => `  ${signature.replace(/: boolean;$/, ": number;")}`);
}

/** sha256 of everything that decides the result: this script, the sources, and the compiler's version. */
function sourceDigest() {
  const hash = createHash("sha256")
    .update(readFileSync(fileURLToPath(import.meta.url)))
    .update(JSON.parse(readFileSync(manifest, "utf8")).version);
  for (const file of readdirSync(sources)
    .filter((name) => name.endsWith(".ts"))
    .sort()) {
    hash.update(file).update(readFileSync(join(sources, file)));
  }
  return hash.digest("hex");
}
