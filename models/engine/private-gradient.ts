import { FleetError } from "../../protocol/errors.ts";
import type { Machine } from "./machine.ts";
import type { Random } from "./random.ts";
import type { Trainable } from "./trainable.ts";

/** The gradient of DP-SGD. Source: Abadi et al. 2016, arXiv 1607.00133, Algorithm 1. */
export interface PrivateGradient {
  reset(): void;
  /** Clips the gradients in the arena, of one example, and adds them to the sum. Gives their norm. */
  add(): number;
  /** Leaves in the gradients the sum with its noise, divided by the number of examples. */
  finish(examples: number): void;
}

/** Throws UNSUPPORTED where a layer keeps averages of its inputs, which no clipping would protect. */
export function createPrivateGradient(
  machine: Machine,
  trainable: Trainable,
  options: { readonly clipNorm: number; readonly noiseMultiplier: number; readonly random: Random },
): PrivateGradient {
  const { kernels, addresses, gradients, clipped } = machine;
  const { clipNorm: C, noiseMultiplier: sigma, random } = options;
  if (trainable.averaging !== undefined) {
    throw new FleetError(
      "UNSUPPORTED",
      `differentialPrivacy: layer "${trainable.averaging}" keeps averages of its inputs, which would leave the device unclipped; freeze it or use LayerNormalization`,
    );
  }
  const { segments } = trainable;
  return {
    reset() {
      clipped.fill(0);
    },
    add() {
      const norm = trainable.norm(addresses.gradients);
      const factor = norm > C ? C / norm : 1;
      for (let i = 0; i < segments.length; i++) {
        const { offset, count } = segments[i]!;
        kernels.addScaled(addresses.clipped + offset * 4, addresses.gradients + offset * 4, count, factor);
      }
      return norm;
    },
    finish(examples) {
      for (let i = 0; i < segments.length; i++) {
        const { offset, count } = segments[i]!;
        for (let k = offset; k < offset + count; k++) {
          const noise = sigma > 0 ? sigma * C * random.normal() : 0;
          gradients[k] = (clipped[k]! + noise) / examples;
        }
      }
    },
  };
}
