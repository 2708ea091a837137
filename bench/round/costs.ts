import { openUpdate } from "../../coordinator/gate.ts";
import { openDetector } from "../../models/detectors/open.ts";
import { createRandom } from "../../models/engine/random.ts";
import { openAverage } from "../../models/federation/average.ts";
import { decode, encode } from "../../protocol/codec.ts";
import { encodeFrame, type UpdateHeader } from "../../protocol/frame.ts";
import { sha256 } from "../../protocol/hash.ts";
import { transferId } from "../../protocol/idempotency.ts";
import { limits } from "../../protocol/limits.ts";
import { Chunk, Offer } from "../../protocol/messages.ts";
import { chunkCount, describe, slice, verifyChunk } from "../../protocol/transfer.ts";
import { spread } from "../bench.ts";
import type { UpdateCosts } from "./parts.ts";
import { channels, firstVersion, history, roundTask } from "./workload.ts";

export interface Costs extends UpdateCosts {
  /** Training of one device for one round, in a process that has a core for itself. */
  readonly trainMs: number;
  readonly parameters: number;
  /** Windows that one device trains on. */
  readonly samples: number;
  /** The update's frame, as it travels in chunks. */
  readonly updateBytes: number;
}

/** Until the compiler has done what it will. */
const warmUps = 100;
const repeats = 300;
const trainings = 10;

/** What one update costs, one thing at a time, with the functions that agents and coordinator use. */
export async function measureCosts(): Promise<Costs> {
  const { header, weights } = await firstVersion();
  const { detector: spec, training, chunkBytes, round } = roundTask(1, 1);
  const base = sha256("base");
  const nonce = sha256("nonce").slice(0, 32);
  const random = createRandom(1);
  const delta = weights.map(() => random.normal() * 1e-2);

  const station = history(1);
  const topology = header.topology;
  const detector = await openDetector({ spec, topology, channels, seed: 1, statistics: null });
  const trainMs: number[] = [];
  let samples = 0;
  for (let i = 0; i <= trainings; i++) {
    detector.setWeights(weights);
    const began = performance.now();
    ({ samples } = await detector.train(station, { training, seed: i }));
    if (i > 0) trainMs.push(performance.now() - began);
  }
  detector.dispose();

  const about = { task: "main", round: 1, nonce, bootSeq: 1, base, samples };
  const onDevice = () => {
    const bytes = encodeFrame<UpdateHeader>({ kind: "update", layout: header.layout, base, samples }, delta);
    const manifest = describe(bytes, chunkBytes);
    const xfer = transferId({ device: "pump-1", ...about, sha256: manifest.sha256 });
    const measured = { loss: 0.5, heldBackLoss: 0.5, trainMs: 1 };
    const offer = encode({ kind: "offer", xfer, ...about, ...measured, manifest });
    const chunks = Array.from({ length: chunkCount(manifest) }, (_, index) =>
      encode({ index, data: slice(bytes, chunkBytes, index) }, { maxBytes: limits.publishBytes }),
    );
    return { bytes, offer, chunks };
  };
  const sent = onDevice();
  const rules = { layout: header.layout, maxSamples: round.maxSamples };
  const inCoordinator = () => {
    const offer = decode(Offer, sent.offer);
    for (const chunk of sent.chunks) {
      const { index, data } = decode(Chunk, chunk, { maxBytes: limits.publishBytes });
      verifyChunk(offer.manifest, index, data);
    }
    // As incoming.ts and the blobs do: the whole is hashed when it is there, and again for its name.
    sha256(sent.bytes);
    sha256(sent.bytes);
    return openUpdate(sent.bytes, offer, rules);
  };
  const average = await openAverage(weights.length);
  return {
    encodeMs: timed(onDevice),
    decodeMs: timed(inCoordinator),
    addMs: timed(() => average.add(delta, samples)),
    // The least: what a core that somebody else needs as well adds is no cost of ours.
    trainMs: spread(trainMs).min,
    parameters: weights.length,
    samples,
    updateBytes: sent.bytes.length,
  };
}

/** Median milliseconds of one call. */
function timed(work: () => unknown): number {
  for (let i = 0; i < warmUps; i++) work();
  const ms: number[] = [];
  for (let i = 0; i < repeats; i++) {
    const began = performance.now();
    work();
    ms.push(performance.now() - began);
  }
  return spread(ms).median;
}
