// Compiles models/kernels/assembly (AssemblyScript) to WASM three times: with plain SIMD, with relaxed SIMD, and without SIMD. Each
// is written, compressed and base64, as models/kernels/wasm-NAME.ts: as a module it needs no path at run time, in the source tree, in
// dist and in the one-file agent alike. models/kernels/wasm.ts has the interface of their functions, load.ts picks one.
import { execFile } from "node:child_process";
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
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompressSync, constants } from "node:zlib";
import { lowerSimd } from "./lower-simd.mjs";

/** Of each build: a process loads one of them. */
const LIMIT_BYTES = 200 * 1024;
const SPEED = ["-O3", "--converge"];
const BUILDS = {
  plain: { options: SPEED },
  relaxed: { options: [...SPEED, "--enable=relaxed-simd"] },
  // Optimised after its vectors are gone; what the compiler inlined before would be there four times over.
  scalar: { options: ["-O1s"], finish: lowerSimd },
};
const OPTIONS = [
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
const folder = join(root, "models/kernels");
const manifest = createRequire(import.meta.url).resolve("assemblyscript/package.json");

const digest = sourceDigest();
const targets = ["wasm.ts", ...Object.keys(BUILDS).map((name) => `wasm-${name}.ts`)];
if (targets.every(isCurrent)) process.exit(0);
console.error("building the WASM kernels, once for these sources: about half a minute");

const scratch = mkdtempSync(join(tmpdir(), "starling-kernels-"));
try {
  const asc = join(dirname(manifest), "bin/asc.js");
  const compile = async ([name, { options, finish = (wasm) => wasm }]) => {
    const file = join(scratch, `${name}.wasm`);
    const args = [asc, join(sources, "index.ts"), "--outFile", file, ...OPTIONS, ...options];
    await promisify(execFile)(process.execPath, args, { cwd: sources });
    return { name, wasm: finish(readFileSync(file)), declarations: file.replace(/wasm$/, "d.ts") };
  };
  const built = await Promise.all(Object.entries(BUILDS).map(compile));
  const bytes = Math.max(...built.map(({ wasm }) => wasm.length));
  if (bytes > LIMIT_BYTES) throw new Error(`the kernels are ${bytes} bytes, the limit is ${LIMIT_BYTES}`);
  for (const { name, wasm } of built) {
    write(`wasm-${name}.ts`, [
      `/** ${wasm.length} bytes of WASM; compressed, base64. */`,
      `export const brotli =\n  "${compressed(wasm).toString("base64")}";`,
    ]);
  }
  write("wasm.ts", [
    "/** Addresses count bytes, lengths count floats; what each argument holds stands at its definition. */",
    `export interface KernelFunctions {\n${signatures(built[0].declarations).join("\n")}\n}`,
  ]);
  console.log(`kernels: ${built.map(({ name, wasm }) => `${name} ${wasm.length} bytes`).join(", ")}`);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

function isCurrent(target) {
  const file = join(folder, target);
  return existsSync(file) && readFileSync(file, "utf8").includes(digest);
}

/** A rename is atomic: two builds at once, or a reader in between, never see half a file. */
function write(target, lines) {
  const next = join(folder, `${target}.${process.pid}`);
  const head = [
    "// Written by scripts/build-kernels.mjs from models/kernels/assembly; not in git.",
    `// sources: ${digest}`,
  ];
  writeFileSync(next, `${[...head, ...lines].join("\n")}\n`);
  renameSync(next, join(folder, target));
}

/** A window of 256 KiB, so that a device needs no more memory to read it. */
function compressed(wasm) {
  return brotliCompressSync(wasm, {
    params: { [constants.BROTLI_PARAM_LGWIN]: 18, [constants.BROTLI_PARAM_SIZE_HINT]: wasm.length },
  });
}

/** `name(args): result;` of each exported function, as the compiler declares it. WASM gives a bool as 0 or 1. */
function signatures(declarations) {
  return readFileSync(declarations, "utf8")
    .split("\n")
    .flatMap((line) => /^ +export function (.*;)$/.exec(line)?.[1] ?? [])
    .map((signature) => `  ${signature.replace(/: boolean;$/, ": number;")}`);
}

/** sha256 of everything that decides the result: the sources, the options, the scripts and the compiler's version. */
function sourceDigest() {
  const hash = createHash("sha256")
    .update(JSON.stringify([OPTIONS, BUILDS]))
    .update(JSON.parse(readFileSync(manifest, "utf8")).version);
  const scripts = join(root, "scripts");
  const lowering = readdirSync(join(scripts, "lower-simd")).map((name) => join(scripts, "lower-simd", name));
  const own = ["build-kernels.mjs", "lower-simd.mjs"].map((name) => join(scripts, name));
  const assembly = readdirSync(sources)
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(sources, name));
  for (const file of [...own, ...lowering.sort(), ...assembly.sort()]) {
    hash.update(basename(file)).update(readFileSync(file));
  }
  return hash.digest("hex");
}
