import { writeFile } from "node:fs/promises";
import { createRandom } from "../../models/engine/random.ts";
import type { Network } from "./networks.ts";
import { trainingBatch } from "./works.ts";

/** Training goes round them: more than fit into the first cache, and few enough that every peer holds them in memory. */
const batches = 8;

/** Noise, seeded, as float32 in PREFIX.x and PREFIX.y. An autoencoder's targets are its inputs. */
export async function writeData(
  { inputShape, targetShape, classes }: Network,
  prefix: string,
): Promise<{ x: string; y: string }> {
  const random = createRandom(1);
  const samples = batches * trainingBatch;
  const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
  const values = (length: number, draw: () => number) => Float32Array.from({ length }, draw);
  const x = values(samples * size(inputShape), () => random.normal());
  const draw = classes === undefined ? () => random.normal() : () => random.integer(classes);
  const y = size(inputShape) === size(targetShape) ? x : values(samples * size(targetShape), draw);
  await writeFile(`${prefix}.x`, bytes(x));
  await writeFile(`${prefix}.y`, bytes(y));
  return { x: `${prefix}.x`, y: `${prefix}.y` };
}

function bytes({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
