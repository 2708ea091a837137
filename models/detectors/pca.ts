import type { DetectorKind } from "./kind.ts";
import { normalized, projectionSums } from "./projection.ts";
import { floors } from "./stream-scorer.ts";
import { openBySums, sumsBlueprint } from "./sums.ts";
import { symmetricEigen } from "./symmetric-eigen.ts";

/**
 * The row less its mean is split into what the first components hold and the rest. SPE, the squared length of the rest, is large where the channels no longer
 * move together; Hotelling's T2, the squared length of the part within over each component's variance, where they move together but further than usual.
 *
 * The residuals are the rest plus `t2`^(1/2) times the part within, each component scaled from its own standard deviation to the rest's. The two are orthogonal, so
 * the squares (as they are, before each is divided by its usual size) sum to SPE + t2 (rest's variance) T2: a combined index (Yue and Qin 2001, Industrial & Engineering Chemistry Research 40(20)), and with t2 = 1 the
 * distance under probabilistic PCA (Tipping and Bishop 1999, JRSS B 61(3)).
 */
export const pca: DetectorKind = {
  title: "what a row has outside the principal components (SPE), and how far out it is within (T2)",
  about:
    "For many channels that follow few causes, as in a plant: a broken relation shows in SPE, an unusual operating point in Hotelling's T2, and the score has both. Federates exactly, in one round. Jackson and Mudholkar 1979 (SPE), Hotelling 1947 (T2), combined as in Yue and Qin 2001.",
  input: "series",
  learns: "by sums",
  scaling: "channels",
  normalized: ({ normalized }) => normalized === 1,
  hyperparameters: {
    components: {
      default: 0,
      least: 0,
      most: 511,
      about: "components that count as within; 0: as many as `variance` takes",
      source: "Jackson 1991, A User's Guide to Principal Components, section 2.8",
    },
    variance: {
      default: 0.9,
      least: 0.01,
      most: 0.9999,
      real: true,
      about: "part of the variance that the components hold, where their number is not given",
      source: "with 0.9, t2 = 0 and normalized = 0 on SMD, the row of the reference table within 0.01",
      search: [0.8, 0.9, 0.95],
    },
    t2: {
      default: 1,
      least: 0,
      most: 100,
      real: true,
      about: "weight of T2 beside SPE; 0: SPE alone",
      source: "1 is the likelihood's own weight: Tipping and Bishop 1999",
      search: [0, 1],
    },
    normalized,
  },
  blueprint: (options) =>
    sumsBlueprint(options, "mean over rows of v v', v = (1, z-scores), upper triangle row by row"),
  async open(options) {
    const { channels, tuned } = options;
    const { components, variance, t2 } = tuned;
    return openBySums(
      options,
      projectionSums(options, (covariance) => {
        const eigen = symmetricEigen(covariance, channels);
        const values = eigen.values.map((value) => Math.max(0, value));
        const fixed = components! > 0 ? components! : componentsFor(values, variance!);
        // At least one stays outside: without a rest there is nothing to measure by.
        const within = Math.min(fixed, channels - 1);
        const rest = values.subarray(within).reduce((sum, value) => sum + value, 0) / (channels - within);
        const scale = (k: number) => Math.sqrt(t2! * (values[k]! > 0 ? rest / values[k]! : 1));
        // Of probabilistic PCA, whose distance this is with t2 = 1.
        const unit = Math.max(rest, floors.residual ** 2);
        const logDeterminant = values.reduce(
          (sum, value, k) => sum + Math.log(k < within ? Math.max(value, unit) : unit),
          0,
        );
        return {
          eigen,
          size: (k) => (k < within ? scale(k) : 1),
          unit,
          offset: logDeterminant / channels / 2,
        };
      }),
    );
  },
};

/** The fewest that hold this part of the variance. */
function componentsFor(values: Float64Array, variance: number): number {
  const all = values.reduce((sum, value) => sum + value, 0);
  let sum = 0;
  for (let k = 0; k < values.length; k++) {
    sum += values[k]!;
    if (sum >= variance * all) return k + 1;
  }
  return values.length;
}
