import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { z } from "zod";

// How the benchmark and a peer talk: one JSON object a line, requests on the peer's stdin, replies on its stdout. Every peer is a
// process of its own, so that memory, threads and compiled code are its alone. bench/peers/lines.py is the same in Python.

export const Hello = z.union([z.object({ version: z.string() }), z.object({ missing: z.string() })]);
export type Hello = z.infer<typeof Hello>;

export const Prepare = z.object({
  do: z.literal("prepare"),
  /** A key of `networks`: a peer that cannot read a topology has the network written down itself. */
  network: z.string(),
  topology: z.unknown(),
  mode: z.enum(["training", "scoring", "stepping"]),
  /** Windows a unit of work: a batch when training, 1 when scoring. */
  batch: z.int().positive(),
  loss: z.enum(["mse", "sparseCategoricalCrossentropy"]),
  learningRate: z.number().positive(),
  /** Files of float32: x (samples, ...inputShape), y (samples, ...targetShape). The same for every peer. */
  data: z.object({ x: z.string(), y: z.string() }),
  inputShape: z.array(z.int().positive()),
  targetShape: z.array(z.int().positive()),
});
export type Prepare = z.infer<typeof Prepare>;

const Run = z.object({ do: z.literal("run"), units: z.int().positive() });
export type Request = Prepare | z.infer<typeof Run>;
const AnyRequest = z.discriminatedUnion("do", [Prepare, Run]);

const Missing = z.object({ missing: z.string() });
export const Prepared = z.union([z.object({ parameters: z.int().positive().nullable() }), Missing]);
export type Prepared = z.infer<typeof Prepared>;
export const Ran = z.union([
  z.object({ ms: z.number().nonnegative(), loss: z.number().nullable() }),
  Missing,
]);
export type Ran = z.infer<typeof Ran>;

/** A work that is ready: `run` repeats it so many times and gives the last loss, where there is one. */
export interface Job {
  /** null where they cannot be counted. */
  readonly parameters: number | null;
  run(units: number): Promise<number | null>;
  dispose(): void;
}

/** A peer in JavaScript: says hello, then answers until stdin ends. */
export async function serve({
  hello,
  prepare,
}: {
  readonly hello: Hello;
  prepare(request: Prepare): Promise<Job>;
}): Promise<void> {
  const say = (reply: Hello | Prepared | Ran) => process.stdout.write(`${JSON.stringify(reply)}\n`);
  say(hello);
  let job: Job | undefined;
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      const request = AnyRequest.parse(JSON.parse(line));
      if (request.do === "prepare") {
        job?.dispose();
        job = undefined;
        job = await prepare(request);
        say({ parameters: job.parameters });
      } else {
        if (job === undefined) throw new Error("nothing is prepared");
        const began = performance.now();
        const loss = await job.run(request.units);
        say({ ms: performance.now() - began, loss });
      }
    } catch (error) {
      // Whatever an engine throws is the reason why it has no figure; the others go on.
      say({ missing: error instanceof Error ? error.message : String(error) });
    }
  }
}

/** x and y of a request, in memory. */
export async function readData({ data }: Prepare): Promise<{ x: Float32Array; y: Float32Array }> {
  const [x, y] = await Promise.all([data.x, data.y].map(readFloats));
  return { x: x!, y: y! };
}

async function readFloats(file: string): Promise<Float32Array> {
  const { buffer, byteOffset, byteLength } = await readFile(file);
  return new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer);
}

/** The samples `values` holds, in parts of `count` samples of `size` values. */
export function split(values: Float32Array, size: number, count: number): Float32Array[] {
  const length = size * count;
  return Array.from({ length: values.length / length }, (_, i) => values.slice(i * length, (i + 1) * length));
}
