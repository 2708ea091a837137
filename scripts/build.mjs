// Builds everything: the kernels (models/kernels/wasm*.ts), dist/ by tsc, and the agent as one self-contained file,
// dist/starling-agent.js. Where all is well it says nothing but that the kernels take their time.
import { spawn } from "node:child_process";
import { chmod, cp, readFile, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { deflateRawSync } from "node:zlib";
import { build } from "esbuild";

/**
 * What a device would hold in memory for nothing: zod's messages in fifty languages, half a megabyte; and what of zod nobody calls, 150 KB, which the bundler can only
 * tell of a namespace.
 */
const lessZod = {
  name: "less-zod",
  setup({ onLoad }) {
    onLoad({ filter: /zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, () => ({
      contents: 'export { default as en } from "./en.js";',
    }));
    onLoad({ filter: /\.ts$/ }, async ({ path }) => ({
      loader: "ts",
      contents: (await readFile(path, "utf8")).replace('import { z } from "zod"', 'import * as z from "zod"'),
    }));
  },
};

const root = fileURLToPath(new URL("..", import.meta.url));
const { version } = JSON.parse(await readFile(`${root}package.json`, "utf8"));

await run("scripts/build-kernels.mjs");
// Both read the sources and neither reads the other's output.
const results = await Promise.allSettled([
  run(
    "node_modules/typescript/bin/tsc",
    "-p",
    "tsconfig.build.json",
    "--incremental",
    "--tsBuildInfoFile",
    "dist/.tsbuildinfo",
  ),
  bundleAgent(),
]);
const failed = results.filter(({ status }) => status === "rejected");
for (const { reason } of failed) console.error(reason.message);
if (failed.length > 0) process.exit(1);
await chmod(`${root}dist/cli/main.js`, 0o755);
await copySets();

/** Throws with what the script has printed where it fails; where it does not, only its stderr is shown. */
async function run(script, ...args) {
  const child = spawn(process.execPath, [`${root}${script}`, ...args], {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (output += text));
  const code = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  if (code !== 0) throw new Error(`${script} failed:\n${output}`);
}

/** The descriptions of data sets are no code, so tsc leaves them behind. */
async function copySets() {
  const to = `${root}dist/models/data/sets`;
  await rm(to, { recursive: true, force: true }); // what was renamed must not stay
  await cp(`${root}models/data/sets`, to, { recursive: true });
}

/** A device gets this file alone: no node_modules, WASM inlined, and what its training thread runs as a text inside. */
async function bundleAgent() {
  const common = {
    absWorkingDir: root,
    bundle: true,
    platform: "node",
    target: "node20.19",
    // Names stay readable in a device's stack traces; white space and dead code go.
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: "none",
    logLevel: "silent",
    // Optional accelerators of ws and others: absent on a device, and asked for inside try.
    external: ["bufferutil", "utf-8-validate", "@tensorflow/tfjs-node"],
    plugins: [lessZod],
  };
  // A thread that starts from a text runs it as a CommonJS script.
  const trainer = await build({
    ...common,
    entryPoints: ["agent/trainer-worker.ts"],
    format: "cjs",
    write: false,
  });
  const packed = deflateRawSync(trainer.outputFiles[0].contents, { level: 9 }).toString("base64");
  await build({
    ...common,
    entryPoints: ["cli/agent-entry.ts"],
    outfile: "dist/starling-agent.js",
    format: "esm",
    define: { STARLING_VERSION: JSON.stringify(version), STARLING_TRAINER: JSON.stringify(packed) },
    // CommonJS packages in the bundle still ask for Node's own modules by require().
    banner: {
      js: '#!/usr/bin/env -S MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=65536 MALLOC_MMAP_THRESHOLD_=65536 node --max-semi-space-size=1 --optimize-for-size --v8-pool-size=0\nimport{createRequire as __createRequire}from"node:module";const require=__createRequire(import.meta.url);',
    },
  });
  await chmod(`${root}dist/starling-agent.js`, 0o755);
}
