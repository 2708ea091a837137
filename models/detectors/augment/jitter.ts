import type { Random } from "../../engine/random.ts";

/**
 * Normal noise on every value, in place. Of the input alone: the target stays clean, so that the network learns to see through noise and not to forecast
 * or give back what nobody can know. Sources: Um et al. 2017, arXiv 1706.00527, table 1 ("Jittering"); a denoising autoencoder where the input is the
 * target, Vincent et al. 2008, ICML.
 */
export function jitter(random: Random, deviation: number): (rows: Float32Array) => void {
  return (rows) => {
    for (let i = 0; i < rows.length; i++) rows[i]! += deviation * random.normal();
  };
}
