import { z } from "zod";
import type { Random } from "./random.ts";
import { type Shape, sizeOf } from "./shape.ts";

/** Fills `out`, which has `shape`, with the first values of a weight. */
export type Initializer = (out: Float32Array, shape: Shape, random: Random) => void;

const number = z.number().nullish();
const seed = z.number().nullish(); // read, but not used: the model's own seed rules
const Named = z.union([
  z.string().transform((name) => ({ class_name: name, config: {} })),
  z.looseObject({}),
]);
const Distribution = z.enum(["uniform", "normal", "truncated_normal", "untruncated_normal"]);
type Distribution = z.infer<typeof Distribution>;

const scaling =
  (scale: number, mode: "fan_in" | "fan_out" | "fan_avg", distribution: Distribution) => () => ({
    scale,
    mode,
    distribution,
  });

/** The named forms of VarianceScaling. Source: Glorot & Bengio 2010, He et al. 2015, LeCun et al. 1998. */
const SCALINGS = {
  glorot_uniform: scaling(1, "fan_avg", "uniform"),
  glorot_normal: scaling(1, "fan_avg", "normal"),
  he_uniform: scaling(2, "fan_in", "uniform"),
  he_normal: scaling(2, "fan_in", "normal"),
  lecun_uniform: scaling(1, "fan_in", "uniform"),
  lecun_normal: scaling(1, "fan_in", "normal"),
};

const Scaling = z.strictObject({
  scale: number,
  mode: z.enum(["fan_in", "fan_out", "fan_avg"]).default("fan_in"),
  distribution: Distribution.default("normal"),
  seed,
});

const FORMS: Readonly<Record<string, (config: unknown) => Initializer>> = {
  zeros: () => constant(0),
  ones: () => constant(1),
  constant: (config) => constant(z.strictObject({ value: number }).parse(config).value ?? 0),
  identity: (config) => identity(z.strictObject({ gain: number }).parse(config).gain ?? 1),
  orthogonal: (config) => orthogonal(z.strictObject({ gain: number, seed }).parse(config).gain ?? 1),
  random_uniform: (config) => {
    const { minval, maxval } = z.strictObject({ minval: number, maxval: number, seed }).parse(config);
    return uniform(minval ?? -0.05, maxval ?? 0.05);
  },
  random_normal: (config) => normal(config, false),
  truncated_normal: (config) => normal(config, true),
  variance_scaling: (config) => varianceScaling(Scaling.parse(config)),
};

/**
 * The initializer that a topology names: a string, or `{ class_name, config }` in the spelling of Keras or of tfjs.
 * Fails (as a schema does) on a name or option that is not known.
 */
export function initializer(fallback: string): z.ZodType<Initializer, unknown> {
  return z
    .unknown()
    .optional()
    .transform((value, context) => {
      const named = Named.safeParse(value ?? fallback).data as
        | { class_name?: unknown; config?: unknown }
        | undefined;
      const name = snake(String(named?.class_name ?? ""));
      const scalingForm = SCALINGS[name as keyof typeof SCALINGS];
      const form = FORMS[name];
      try {
        if (scalingForm) return varianceScaling(scalingForm());
        if (form) return form(named?.config ?? {});
      } catch (error) {
        if (!(error instanceof z.ZodError)) throw error;
      }
      context.addIssue({ code: "custom", message: `initializer ${JSON.stringify(value)} is not known` });
      return z.NEVER;
    });
}

/** Glorot, He and LeCun are this one with other constants. */
function varianceScaling(options: {
  scale?: number | null | undefined;
  mode: "fan_in" | "fan_out" | "fan_avg";
  distribution: Distribution;
}): Initializer {
  return (out, shape, random) => {
    const receptive = sizeOf(shape.slice(0, -2));
    const fanIn = shape.length > 1 ? shape.at(-2)! * receptive : (shape[0] ?? 1);
    const fanOut = (shape.at(-1) ?? 1) * receptive;
    const fan = { fan_in: fanIn, fan_out: fanOut, fan_avg: (fanIn + fanOut) / 2 }[options.mode];
    const variance = (options.scale ?? 1) / Math.max(1, fan);
    if (options.distribution === "uniform") {
      const limit = Math.sqrt(3 * variance);
      uniform(-limit, limit)(out, shape, random);
      return;
    }
    const truncated = options.distribution !== "untruncated_normal";
    // Cut at two deviations, the normal has the deviation 0.87962566: Keras makes up for it, and so do we.
    const deviation = Math.sqrt(variance) / (truncated ? 0.87962566103423978 : 1);
    for (let i = 0; i < out.length; i++) out[i] = deviation * draw(random, truncated);
  };
}

function constant(value: number): Initializer {
  return (out) => {
    out.fill(value);
  };
}

function uniform(low: number, high: number): Initializer {
  return (out, _, random) => {
    for (let i = 0; i < out.length; i++) out[i] = low + (high - low) * random.uniform();
  };
}

function normal(config: unknown, truncated: boolean): Initializer {
  const { mean, stddev } = z.strictObject({ mean: number, stddev: number, seed }).parse(config);
  return (out, _, random) => {
    for (let i = 0; i < out.length; i++) out[i] = (mean ?? 0) + (stddev ?? 0.05) * draw(random, truncated);
  };
}

/** A standard normal, drawn again while it is beyond two deviations when `truncated`. */
function draw(random: Random, truncated: boolean): number {
  let value = random.normal();
  while (truncated && Math.abs(value) > 2) value = random.normal();
  return value;
}

function identity(gain: number): Initializer {
  return (out, shape) => {
    const columns = shape.at(-1) ?? 1;
    for (let i = 0; i < out.length; i++) out[i] = Math.floor(i / columns) === i % columns ? gain : 0;
  };
}

/** Random orthonormal rows or columns, whichever are fewer. Source: Saxe et al. 2014, arXiv 1312.6120. */
function orthogonal(gain: number): Initializer {
  return (out, shape, random) => {
    const columns = shape.at(-1) ?? 1;
    const rows = out.length / columns;
    const [count, length] = rows < columns ? [rows, columns] : [columns, rows];
    const vectors: Float64Array[] = [];
    while (vectors.length < count) {
      const v = Float64Array.from({ length }, () => random.normal());
      // Gram-Schmidt done twice is orthogonal to machine precision (Giraud et al. 2005).
      for (let pass = 0; pass < 2; pass++) for (const u of vectors) subtractProjection(v, u);
      const norm = Math.sqrt(v.reduce((sum, x) => sum + x * x, 0));
      if (norm > 1e-6) vectors.push(v.map((x) => x / norm));
    }
    for (let i = 0; i < out.length; i++) {
      const [row, column] = [Math.floor(i / columns), i % columns];
      out[i] = gain * (rows < columns ? vectors[row]![column]! : vectors[column]![row]!);
    }
  };
}

function subtractProjection(v: Float64Array, u: Float64Array): void {
  let dot = 0;
  for (let i = 0; i < v.length; i++) dot += v[i]! * u[i]!;
  for (let i = 0; i < v.length; i++) v[i]! -= dot * u[i]!;
}

/** GlorotUniform -> glorot_uniform */
function snake(name: string): string {
  return name.replace(/([a-z])([A-Z])/g, "$1_$2").toLowerCase();
}
