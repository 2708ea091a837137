import { readFile } from "node:fs/promises";
import { FleetError } from "../../protocol/errors.ts";
import { type DetectorSpec, DetectorSpec as Spec } from "../../protocol/task.ts";
import type { Flag } from "../command.ts";

const NAME = "layers-model";

export const topologyFlag: Flag = {
  path: "topology",
  flag: "--topology <file>",
  description:
    "the network of --detector layers-model, without its weights: LayersModel JSON, a model.json of tfjs, a .keras or .h5 file",
};

/** The detector with the network of `file`. Throws BAD_INPUT with one sentence where the detector takes none, or the file has none that the engine runs. */
export async function withTopology(detector: DetectorSpec, file: string | undefined): Promise<DetectorSpec> {
  if (file === undefined) return detector;
  if (detector.name !== NAME)
    throw new FleetError(
      "BAD_INPUT",
      `--topology is for the detector ${NAME}, and this is ${detector.name}; give --detector ${NAME}`,
    );
  return { ...detector, topology: await readTopology(file) };
}

/** LayersModel JSON without spaces, as a task carries it. */
export async function readTopology(file: string): Promise<string> {
  const bad = (what: string, cause?: unknown) =>
    new FleetError("BAD_INPUT", `--topology ${file}: ${what}`, { cause });
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    throw bad(`can't be read (${(cause as Error).message}); check the path`, cause);
  }
  let text: string;
  try {
    const topology = await topologyOf(bytes);
    // Compiled once, so that a layer that the engine lacks is told before anything starts.
    const { compile } = await import("../../models/engine/compile.ts");
    (await compile(topology, { seed: 0 })).dispose();
    text = JSON.stringify(topology);
  } catch (error) {
    if (error instanceof FleetError) throw bad(error.message, error);
    throw error;
  }
  const most = Spec.shape.topology.unwrap().maxLength!;
  if (text.length > most)
    throw bad(
      `the network takes ${text.length} characters of JSON and a task carries ${most}; give a smaller one`,
    );
  return text;
}

/** By what the file begins with: an archive (.keras), HDF5 (.h5), else text. */
async function topologyOf(bytes: Uint8Array): Promise<unknown> {
  const isZip = bytes[0] === 0x50 && bytes[1] === 0x4b;
  const isHdf5 = bytes[0] === 0x89 && bytes[1] === 0x48;
  if (isZip || isHdf5) {
    const { kerasTopology } = await import("../../models/engine/files/keras.ts");
    return kerasTopology(bytes);
  }
  const { unwrap } = await import("../../models/engine/topology.ts");
  return unwrap(Buffer.from(bytes).toString("utf8"));
}
