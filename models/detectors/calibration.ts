import { z } from "zod";
import { levelBases } from "../../protocol/messages.ts";

const numbers = z.array(z.number()).readonly();

/** `Calibration` of detector.ts, as it comes from a file or another thread. */
export const Calibration = z.object({
  sigma: numbers,
  scalerMean: numbers,
  scalerSigma: numbers,
  levels: numbers,
  adaptRows: z.number().exactOptional(),
  threshold: z.number(),
  basis: z.enum(levelBases),
  caution: z.string().exactOptional(),
  rateHz: z.number().exactOptional(),
  tail: z.object({
    knots: numbers,
    share: z.number(),
    gamma: z.number(),
    sigma: z.number(),
    count: z.number(),
  }),
  drift: z.object({ edges: numbers, shares: numbers, correlationRows: z.number(), count: z.number() }),
  rows: z.number(),
});
