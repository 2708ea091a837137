import type { DetectorKind } from "./kind.ts";
import { normalized, projectionSums } from "./projection.ts";
import { openBySums, sumsBlueprint } from "./sums.ts";
import { symmetricEigen } from "./symmetric-eigen.ts";

export const mahalanobis: DetectorKind = {
  title: "distance of a row from the mean, measured by the covariance",
  about:
    "For channels that move together, and for records without neighbours: a row is odd where it breaks a correlation, though each value alone is usual. The covariance is shrunk towards that of independent channels and federates exactly, in one round. Each channel's part of the distance is its square after the symmetric inverse square root of the covariance (ZCA), the whitening that stays closest to the channels; with normalized = 0 the parts sum to the squared distance. Mahalanobis 1936; shrinkage as in Ledoit and Wolf 2004; ZCA in Kessy et al. 2018, arXiv 1512.00809.",
  input: "series",
  learns: "by sums",
  scaling: "channels",
  normalized: ({ normalized }) => normalized === 1,
  hyperparameters: {
    shrinkage: {
      default: 0.01,
      least: 1e-4,
      most: 1,
      real: true,
      about: "part of the identity in the covariance of the z-scores; 1 takes the channels as independent",
      source: "with 0.01 and normalized = 0 on SMD, the row of the reference table within 0.01",
      search: [0.001, 0.01, 0.1],
    },
    normalized,
  },
  blueprint: (options) =>
    sumsBlueprint(options, "mean over rows of v v', v = (1, z-scores), upper triangle row by row"),
  async open(options) {
    const { shrinkage } = options.tuned;
    const { channels } = options;
    return openBySums(
      options,
      projectionSums(options, (covariance) => {
        const eigen = symmetricEigen(covariance, channels);
        // Rounding to float32 can leave a tiny negative value.
        const shrunk = eigen.values.map((value) => (1 - shrinkage!) * Math.max(0, value) + shrinkage!);
        const logDeterminant = shrunk.reduce((sum, value) => sum + Math.log(value), 0);
        return {
          eigen,
          size: (k) => 1 / Math.sqrt(shrunk[k]!),
          unit: 1,
          offset: logDeterminant / channels / 2,
        };
      }),
    );
  },
};
