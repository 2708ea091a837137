import type { MessagePort } from "node:worker_threads";
import type { WasmModule } from "../../kernels/load.ts";
import { createLoss, targetsFor } from "../losses.ts";
import { createMachine, type Machine } from "../machine.ts";
import { planOf } from "../plan.ts";
import { parseTopology } from "../topology.ts";
import {
  type Copy,
  copyAll,
  gradientCopies,
  type HelperData,
  type Job,
  partOf,
  partStart,
  shareGradients,
} from "./exchange.ts";
import { ARRIVED, advance, after, BATCH, TURN, waitFor } from "./meeting.ts";

/** A thread that takes its part of every batch: says "ready" once, then works on one job after the other. */
export async function runHelper(port: MessagePort, data: HelperData): Promise<void> {
  const { topology, maxBatch, module } = data;
  const plan = await planOf(parseTopology(JSON.parse(topology)));
  const machine = await createMachine(plan, { maxBatch, module: module as WasmModule });
  port.on("message", (job: Job) => work(machine, data, job));
  port.postMessage("ready");
}

/** Keeps the thread until the fit is over. */
function work(machine: Machine, { exchange, thread, threads }: HelperData, job: Job): void {
  const { words, present } = exchange;
  const { gradients, sums, counts } = exchange.helpers[thread - 1]!;
  const targets = targetsFor(machine, job.loss);
  const lossOf = createLoss(machine, job.loss, job);
  const lossOptions = { gradient: true, weighted: job.weighted };
  const gradientsOut = gradientCopies(job.segments, gradients, machine.gradients);
  machine.freeze(job.freeze);
  machine.seed(job.seed, thread);

  const parts: {
    readonly size: number;
    readonly before: readonly Copy[];
    readonly behind: readonly Copy[];
  }[] = [];
  const partFor = (batch: number) => {
    const [start, end] = [partStart(batch, thread, threads), partStart(batch, thread + 1, threads)];
    const size = end - start;
    const part = partOf(exchange, machine, targets, [start, end]);
    const own = targets.map((target) => target.at(size));
    return {
      size,
      before: [
        { to: machine.weights, from: exchange.weights },
        ...machine.inputs.map((input, i) => ({ to: input.at(size), from: part.inputs[i]! })),
        ...own.map((to, i) => ({ to, from: part.targets[i]! })),
        ...(job.weighted ? [{ to: machine.sampleWeights.subarray(0, size), from: part.sampleWeights }] : []),
      ],
      behind: job.outputs
        ? [
            ...machine.outputs.map((output, i) => ({ to: part.outputs[i]!, from: output.at(size) })),
            ...own.map((from, i) => ({ to: part.targets[i]!, from })),
          ]
        : [],
    };
  };

  for (let turn = after(job.turn); ; turn = after(turn)) {
    waitFor(words, TURN, turn);
    const batch = Atomics.load(words, BATCH);
    if (batch === 0) {
      advance(words, ARRIVED);
      return;
    }
    parts[batch] ??= partFor(batch);
    const { size, before, behind } = parts[batch];
    sums.fill(0);
    counts.fill(0);
    if (size > 0) {
      copyAll(before);
      machine.forward(size, true);
      const value = lossOf(size, lossOptions);
      sums.set(value.sums);
      counts.set(value.counts);
    }
    advance(words, ARRIVED);

    // The others' targets decide what a target counts.
    turn = after(turn);
    waitFor(words, TURN, turn);
    if (size > 0) {
      shareGradients(machine, size, counts, present);
      machine.backward(size);
      copyAll(gradientsOut);
      copyAll(behind);
    }
    advance(words, ARRIVED);
  }
}
