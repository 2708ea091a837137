export interface Pareto {
  /** Shape: 0 = exponential tail, above 0 = heavier, below 0 = it ends. */
  readonly gamma: number;
  readonly sigma: number;
}

/**
 * Fits a generalised Pareto distribution to excesses (all above 0) by maximum likelihood. With theta = gamma/sigma
 * the likelihood has one unknown, gamma(theta) = mean log(1 + theta y) (Grimshaw 1993), searched on a grid and then refined.
 * gamma is held within -0.5..1: below, the likelihood has no maximum (Smith 1985); above, the tail has no mean, and a
 * few excesses would put the level beyond anything that can be measured. `logPrior` adds what is known of gamma without them.
 */
export function fitPareto(excesses: Float64Array, logPrior: (gamma: number) => number = () => 0): Pareto {
  const mean = excesses.reduce((a, b) => a + b, 0) / excesses.length;
  const max = excesses.reduce((a, b) => Math.max(a, b), 0);
  const likelihood = (theta: number) => {
    const fit = likelihoodAt(excesses, mean, theta);
    return { ...fit, value: fit.value + logPrior(fit.gamma) };
  };
  let best = likelihood(0);
  let at = 0;
  let width = 0;
  // In units of 1/max: theta > -1 keeps every excess inside the distribution's support.
  for (let i = 1; i < GRID; i++) {
    const part = i / GRID;
    for (const theta of [-part, part * HIGHEST_THETA * (max / mean) * part]) {
      const fit = likelihood(theta / max);
      if (fit.value > best.value) {
        best = fit;
        at = theta;
        width = theta < 0 ? 1 / GRID : (2 * part * HIGHEST_THETA * (max / mean)) / GRID;
      }
    }
  }
  for (let i = 0; i < 40 && width > 1e-9; i++, width *= 0.6) {
    for (const theta of [at - width, at + width]) {
      if (theta <= -1) continue;
      const fit = likelihood(theta / max);
      if (fit.value > best.value) {
        best = fit;
        at = theta;
      }
    }
  }
  return best;
}

const GRID = 100;
/** gamma = 1 lies below theta = 10/mean for every shape of data that a score has. */
const HIGHEST_THETA = 10;
const SHAPE = { least: -0.5, most: 1 } as const;

function likelihoodAt(y: Float64Array, mean: number, theta: number): Pareto & { readonly value: number } {
  const n = y.length;
  // The limit theta -> 0: the exponential distribution.
  if (Math.abs(theta * mean) < 1e-9) return { gamma: 0, sigma: mean, value: -n * (Math.log(mean) + 1) };
  let logs = 0;
  for (let i = 0; i < n; i++) logs += Math.log1p(theta * y[i]!);
  const gamma = logs / n;
  const sigma = gamma / theta;
  const value =
    gamma < SHAPE.least || gamma > SHAPE.most ? Number.NEGATIVE_INFINITY : -n * (Math.log(sigma) + gamma + 1);
  return { gamma, sigma, value };
}

/**
 * As `fitPareto`, but a tail that the fit would end somewhere (gamma < 0) is taken as exponential. For looking beyond the data: an
 * end that a few dozen excesses suggest is passed sooner than that, and what lies beyond it would all be alike.
 */
export function fitOpenTail(excesses: Float64Array, logPrior?: (gamma: number) => number): Pareto {
  const fit = fitPareto(excesses, logPrior);
  return fit.gamma >= 0
    ? fit
    : { gamma: 0, sigma: excesses.reduce((sum, y) => sum + y / excesses.length, 0) };
}

/**
 * What is known of the shape of tails in nature before a single excess is seen: gamma = 0.10 +- 0.12, within -0.5..0.5 (-gamma + 0.5 is Beta(6, 9)). A few dozen
 * excesses place gamma within 0.2 or so, and a level a hundred times beyond them is then wrong by its own size; with the prior it is far steadier. But for a constant.
 * Source: Martins and Stedinger 2001, Generalized maximum likelihood Pareto-Poisson estimators for partial duration series, Water Resources Research 37(10).
 */
export function shapePrior(gamma: number): number {
  const kappa = 0.5 - gamma;
  if (!(kappa > 0 && kappa < 1)) return Number.NEGATIVE_INFINITY;
  return 5 * Math.log(kappa) + 8 * Math.log(1 - kappa);
}

/** A Pareto tail needs a few points; from three on its fit is bounded by the shape limits of `fitPareto`. */
export const FEWEST_EXCESSES = 3;

/** The excess that one with this distribution passes with probability `p`, 0..1. */
export function paretoLevel({ gamma, sigma }: Pareto, p: number): number {
  return sigma * (Math.abs(gamma) < NO_SHAPE ? -Math.log(p) : (p ** -gamma - 1) / gamma);
}

/** The probability that one with this distribution passes the excess `y` >= 0: `paretoLevel` the other way about. */
export function paretoSurvival({ gamma, sigma }: Pareto, y: number): number {
  if (Math.abs(gamma) < NO_SHAPE) return Math.exp(-y / sigma);
  return Math.max(0, 1 + (gamma * y) / sigma) ** (-1 / gamma);
}

/** Shapes nearer to 0 than this are the exponential distribution, to the last digits. */
const NO_SHAPE = 1e-9;
