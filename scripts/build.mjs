// Builds everything: the kernels (models/kernels/wasm*.ts), dist/ by tsc, and the agent as one self-contained file,
// dist/starling-agent.js. Says nothing where all is well.
import { spawn } from "node:child_process";
import { chmod, cp, readFile, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** zod brings its messages in fifty languages, half a megabyte that a device would hold in memory for nothing. */
const englishOnly = {
  name: "english-only",
  setup({ onLoad }) {
    onLoad({ filter: /zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, () => ({
      contents: 'export { default as en } from "./en.js";',
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

/** Throws with the whole output of the script where it fails; its output is not shown otherwise. */
async function run(script, ...args) {
  const child = spawn(process.execPath, [`${root}${script}`, ...args], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text) => (output += text));
  const code = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  if (code !== 0) throw new Error(`${script} failed:\n${output}`);
}

/** The descriptions of data sets are no code, so tsc leaves them behind. */
async function copySets() {
  const to = `${root}dist/models/data/sets`;
  await rm(to, { recursive: true, force: true }); // what was renamed must not stay
  await cp(`${root}models/data/sets`, to, { recursive: true });
}

/** A device gets this file alone: no node_modules, WASM inlined. The file is also its own training worker. */
async function bundleAgent() {
  await build({
    absWorkingDir: root,
    entryPoints: ["cli/agent-entry.ts"],
    outfile: "dist/starling-agent.js",
    bundle: true,
    platform: "node",
    target: "node20.19",
    format: "esm",
    // Names stay readable in a device's stack traces; white space and dead code go.
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: "none",
    logLevel: "silent",
    define: { STARLING_VERSION: JSON.stringify(version) },
    // Optional accelerators of ws and others: absent on a device, and asked for inside try.
    external: ["bufferutil", "utf-8-validate", "@tensorflow/tfjs-node"],
    // CommonJS packages in the bundle still ask for Node's own modules by require().
    plugins: [englishOnly],
    banner: {
      js: '#!/usr/bin/env -S MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=65536 MALLOC_MMAP_THRESHOLD_=65536 node --max-semi-space-size=1 --optimize-for-size --v8-pool-size=0\nimport{createRequire as __createRequire}from"node:module";const require=__createRequire(import.meta.url);',
    },
  });
  await chmod(`${root}dist/starling-agent.js`, 0o755);
}
