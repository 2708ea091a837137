#!/usr/bin/env node
// Installs what ours is compared with into .peers/ (git-ignored), from PyPI and npm alone: `install.mjs engine` for
// `npm run bench -- engine`, `install.mjs detection` for `npm run bench -- detection`, without a word both.
//
//   .peers/pytorch   Python venv: PyTorch, and what exports the networks to ONNX
//   .peers/keras     Python venv: TensorFlow for CPUs and Keras
//   .peers/npm       tfjs with its WASM backend, onnxruntime-node, and tfjs-node with a C++ binding built here
//   .peers/onnx      the networks as ONNX models, from PyTorch
//   .peers/pyod      Python venv: PyOD
//   .peers/merlion   Python venv: Merlion
//   .peers/tsb-ad    Python venv: TSB-AD with PyTorch, and PyOD for what of it needs PyTorch
//
// Run again, it does what is not done yet. One peer that cannot be had does not keep the others from being installed; exit code
// 1 and a sentence at the end then say which one and why, and the benchmark skips it. About 7 GB each, most of it PyTorch's.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const versions = {
  torch: "2.15.0",
  onnx: "1.23.2",
  onnxscript: "0.7.2",
  tensorflow: "2.21.0",
  keras: "3.15.1",
  tfjs: "4.22.0",
  onnxruntime: "1.30.0",
  nodeApiHeaders: "1.9.0",
  pyod: "3.6.7",
  merlion: "2.0.4",
  tsbAd: "1.5",
};

const here = dirname(fileURLToPath(import.meta.url));
const peers = join(here, "..", "..", ".peers");
const npmFolder = join(peers, "npm");
const tfjsNode = join(npmFolder, "node_modules", "@tensorflow", "tfjs-node");
const binding = join(tfjsNode, "lib", "napi-v8", "tfjs_binding.node");

/** Written into a folder when all is in it: what was asked for. */
const markFile = ".installed.json";
/** Characters. */
const shownOutput = 1500;

/** In order: the ONNX models need PyTorch, the binding of tfjs-node needs TensorFlow and the npm packages. */
const engine = [
  {
    name: "pytorch",
    run: () =>
      venv("pytorch", [
        `torch==${versions.torch}`,
        "numpy",
        `onnx==${versions.onnx}`,
        `onnxscript==${versions.onnxscript}`,
      ]),
  },
  {
    name: "keras",
    run: () => venv("keras", [`tensorflow-cpu==${versions.tensorflow}`, `keras==${versions.keras}`]),
  },
  { name: "npm packages (tfjs-wasm, onnxruntime-node, tfjs-node without its binding)", run: npmPackages },
  { name: "tfjs-node's binding", run: tfjsBinding },
  { name: "ONNX models", run: onnxModels },
];

const detection = [
  { name: "pyod", run: () => venv("pyod", [`pyod==${versions.pyod}`]) },
  { name: "merlion", run: () => venv("merlion", [`salesforce-merlion==${versions.merlion}`]) },
  {
    name: "tsb-ad",
    run: () =>
      venv("tsb-ad", [`TSB-AD==${versions.tsbAd}`, `torch==${versions.torch}`, `pyod==${versions.pyod}`]),
  },
];

const groups = { engine, detection };
const [asked = "both"] = process.argv.slice(2);
if (asked !== "both" && !Object.hasOwn(groups, asked)) {
  console.error(`install: there is nothing called "${asked}": say engine or detection, or nothing for both`);
  process.exit(2);
}
const steps = asked === "both" ? [...engine, ...detection] : groups[asked];

await mkdir(peers, { recursive: true });
const failures = [];
for (const { name, run } of steps) {
  const began = Date.now();
  try {
    const did = await run();
    console.log(
      `${name}: ${did ? `done in ${((Date.now() - began) / 1000).toFixed(0)} s` : "already there"}`,
    );
  } catch (error) {
    failures.push(name);
    console.log(`${name}: cannot be had here.\n${String(error.message).replace(/^/gm, "    ")}`);
  }
}
if (failures.length > 0) {
  console.log(`\nMissing: ${failures.join(", ")}. The benchmark runs without; install again to retry.`);
  process.exitCode = 1;
}

/** A Python venv with exactly these packages asked for. */
async function venv(name, packages) {
  const folder = join(peers, name);
  if (await hasMark(folder, packages)) return false;
  await run("python3", ["-m", "venv", folder]);
  await run(join(folder, "bin", "python"), ["-m", "pip", "install", "--quiet", ...packages]);
  return mark(folder, packages);
}

async function npmPackages() {
  const dependencies = {
    "@tensorflow/tfjs": versions.tfjs,
    "@tensorflow/tfjs-backend-wasm": versions.tfjs,
    "@tensorflow/tfjs-node": versions.tfjs,
    "onnxruntime-node": versions.onnxruntime,
    // What the binding of tfjs-node is compiled with.
    "node-api-headers": versions.nodeApiHeaders,
  };
  if (await hasMark(npmFolder, dependencies)) return false;
  await mkdir(npmFolder, { recursive: true });
  await writeFile(
    join(npmFolder, "package.json"),
    JSON.stringify({ name: "peers", private: true, dependencies }, null, 2),
  );
  // Without scripts: tfjs-node's would fetch libtensorflow and onnxruntime-node's CUDA, from where a closed network does not reach.
  await run("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], npmFolder);
  return mark(npmFolder, dependencies);
}

/**
 * tfjs-node's package has the source of its binding; the libtensorflow that it is written for is in TensorFlow's Python wheel,
 * in two files instead of one (libtensorflow_cc, libtensorflow_framework), with its headers. The C API has been stable since.
 */
async function tfjsBinding() {
  const python = join(peers, "keras", "bin", "python");
  if (!existsSync(tfjsNode)) throw new Error("it needs the npm packages, which are not there");
  if (!existsSync(python)) throw new Error("it needs TensorFlow from .peers/keras, which is not there");
  const { stdout } = await run(python, [
    "-c",
    "import importlib.util as u; print(u.find_spec('tensorflow').submodule_search_locations[0])",
  ]);
  const tensorflow = stdout.trim();
  if (existsSync(binding) && (await hasMark(dirname(binding), versions))) return false;
  await mkdir(dirname(binding), { recursive: true });
  await run(
    "g++",
    [
      ...["-O3", "-std=c++17", "-shared", "-fPIC", "-DNAPI_VERSION=8"],
      ...["-I..", `-I${join(tensorflow, "include")}`],
      `-I${join(npmFolder, "node_modules", "node-api-headers", "include")}`,
      ...["binding/tfjs_backend.cc", "binding/tfjs_binding.cc"],
      ...["libtensorflow_cc.so.2", "libtensorflow_framework.so.2"].map((name) => join(tensorflow, name)),
      ...[`-Wl,-rpath,${tensorflow}`, "-o", binding],
    ],
    tfjsNode,
  );
  // Loaded once here, so that a binding that cannot be loaded is said at once.
  await run(process.execPath, ["-e", 'require("@tensorflow/tfjs-node").ones([2]).dataSync()'], npmFolder);
  return mark(dirname(binding), versions);
}

async function onnxModels() {
  const python = join(peers, "pytorch", "bin", "python");
  if (!existsSync(python)) throw new Error("they need PyTorch from .peers/pytorch, which is not there");
  const folder = join(peers, "onnx");
  const sources = ["export_onnx.py", "torch_networks.py"].map((name) => join(here, name));
  const edited = await Promise.all(sources.map(async (file) => (await stat(file)).mtimeMs));
  const made = existsSync(join(folder, markFile)) ? (await stat(join(folder, markFile))).mtimeMs : 0;
  if (made > Math.max(...edited)) return false;
  await mkdir(folder, { recursive: true });
  await run(python, [sources[0], folder]);
  return mark(folder, versions);
}

async function hasMark(folder, wanted) {
  const file = join(folder, markFile);
  return existsSync(file) && (await readFile(file, "utf8")) === JSON.stringify(wanted);
}

async function mark(folder, wanted) {
  await writeFile(join(folder, markFile), JSON.stringify(wanted));
  return true;
}

/** Throws with the end of the output where the command fails. */
async function run(command, args, cwd = peers) {
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: "1" };
  const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => {
    stdout += text;
    output += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text) => {
    output += text;
  });
  const code = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  if (code !== 0) throw new Error(`${command} ended with ${code}:\n${output.trim().slice(-shownOutput)}`);
  return { stdout };
}
