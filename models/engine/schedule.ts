import { z } from "zod";

const rate = z.number().positive();
const every = z.int().positive();
const factor = z.number().positive().max(1);

/** A learning rate, or how it goes on from step to step; a step is a batch. */
export const LearningRate = z.union([
  rate,
  z.discriminatedUnion("name", [
    z.strictObject({ name: z.literal("constant"), rate }),
    /** Times `factor` after each `every` steps. */
    z.strictObject({ name: z.literal("step"), rate, every, factor }),
    /** The same without stairs: rate factor^(t / every). */
    z.strictObject({ name: z.literal("exponential"), rate, every, factor }),
    /**
     * Up in a straight line over `warmUp` steps, then down half a cosine to `floor`, which is reached at step `steps` and kept.
     * Source: Loshchilov & Hutter 2017 (SGDR), arXiv 1608.03983, equation 5, without restarts; warm-up: Goyal et al. 2017, arXiv 1706.02677.
     */
    z.strictObject({
      name: z.literal("cosine"),
      rate,
      steps: every,
      warmUp: z.int().nonnegative().default(0),
      floor: z.number().nonnegative().default(0),
    }),
    /** rates[i] until step boundaries[i], the last rate from there on. */
    z
      .strictObject({
        name: z.literal("piecewise"),
        boundaries: z.array(z.int().positive()).min(1).readonly(),
        rates: z.array(rate).readonly(),
      })
      .refine(
        ({ boundaries, rates }) => rates.length === boundaries.length + 1,
        "one rate more than boundaries",
      )
      .refine(
        ({ boundaries }) => boundaries.every((boundary, i) => i === 0 || boundary > boundaries[i - 1]!),
        "boundaries must rise",
      ),
  ]),
]);
export type LearningRate = z.infer<typeof LearningRate>;

/** The rate of step t, the first being 0. */
export function rateAt(schedule: LearningRate, t: number): number {
  if (typeof schedule === "number") return schedule;
  switch (schedule.name) {
    case "constant":
      return schedule.rate;
    case "step":
      return schedule.rate * schedule.factor ** Math.floor(t / schedule.every);
    case "exponential":
      return schedule.rate * schedule.factor ** (t / schedule.every);
    case "cosine": {
      const { rate: top, steps, warmUp, floor } = schedule;
      if (t < warmUp) return (top * (t + 1)) / warmUp;
      const done = Math.min(1, (t - warmUp) / Math.max(1, steps - warmUp));
      return floor + ((top - floor) * (1 + Math.cos(Math.PI * done))) / 2;
    }
    case "piecewise": {
      const { boundaries, rates } = schedule;
      let i = 0;
      while (i < boundaries.length && t >= boundaries[i]!) i++;
      return rates[i]!;
    }
  }
}
