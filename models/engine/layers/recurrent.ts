import { z } from "zod";
import { FleetError } from "../../../protocol/errors.ts";
import type { Address } from "../../kernels/load.ts";
import { FusedActivation } from "../activations.ts";
import { common, ignored, off, parseConfig, units, weightOptions } from "./config.ts";
import type { LayerConfig, LayerPlan, Site } from "./layer.ts";

/** The options that SimpleRNN, GRU and LSTM share. */
export const recurrentOptions = () => ({
  ...common,
  units,
  activation: FusedActivation.default(2),
  use_bias: z.boolean().nullish(),
  ...weightOptions("kernel", "glorot_uniform"),
  ...weightOptions("recurrent", "orthogonal"),
  ...weightOptions("bias", "zeros"),
  /** Share of the input's channels that are left out while training: the same ones at every step of a sample. */
  dropout: z.number().min(0).lt(1).nullish(),
  /** The same of the state that the recurrent kernel sees. */
  recurrent_dropout: z.number().min(0).lt(1).nullish(),
  return_sequences: z.boolean().nullish(),
  return_state: off,
  go_backwards: z.boolean().nullish(),
  stateful: off,
  time_major: off,
  /** Keras 3 sets it within Bidirectional. Without a mask it says nothing; with one, `bindSequence` refuses it. */
  zero_output_for_mask: z.boolean().nullish(),
  unroll: ignored,
  implementation: ignored,
  use_cudnn: ignored,
  seed: ignored,
});

/** As parseConfig. `stateful` has its own answer: what it is for is there, in another place. */
export function parseRecurrent<T>(schema: () => z.ZodType<T>, layer: LayerConfig): T {
  if ((layer.config as { stateful?: unknown } | null)?.stateful === true)
    throw new FleetError(
      "UNSUPPORTED",
      `layer "${layer.name}" (${layer.className}): the engine keeps no state from batch to batch (stateful true); leave it out and go on from row to row with model.stepper()`,
    );
  return parseConfig(schema, layer);
}

/** How a recurrent layer reads its sequence, and what it gives. */
interface Sequence {
  readonly T: number;
  readonly C: number;
  readonly H: number;
  /** Every step's output, not the last one's alone. */
  readonly sequences: boolean;
  readonly backwards: boolean;
  readonly dropout: number;
  readonly recurrentDropout: number;
  readonly zeroesMasked: boolean;
  readonly name: string;
}

export function sequenceOf(
  config: {
    readonly name?: string | undefined;
    readonly zero_output_for_mask?: boolean | null | undefined;
    readonly units: number;
    readonly return_sequences?: boolean | null | undefined;
    readonly go_backwards?: boolean | null | undefined;
    readonly dropout?: number | null | undefined;
    readonly recurrent_dropout?: number | null | undefined;
  },
  [T, C]: readonly [time: number, channels: number],
): Sequence {
  return {
    T,
    C,
    H: config.units,
    sequences: config.return_sequences ?? false,
    backwards: config.go_backwards ?? false,
    dropout: config.dropout ?? 0,
    recurrentDropout: config.recurrent_dropout ?? 0,
    zeroesMasked: config.zero_output_for_mask ?? false,
    name: config.name ?? "recurrent",
  };
}

/** What follows for the plan. A layer that begins with the last step can't be stepped: null. */
export function sequencePlan(sequence: Sequence, stateFloats: number) {
  const { T, H, sequences, backwards } = sequence;
  return {
    order: "time",
    outputShape: sequences ? [T, H] : [H],
    stateFloats: backwards ? null : stateFloats,
    // Backwards too the mask keeps its order, although the output's steps are turned round: as Keras and tfjs have it.
    mask: sequences ? "keep" : "drop",
  } as const satisfies Partial<LayerPlan>;
}

/**
 * What the kernel of a recurrent layer works on: the layer's own input and gradient where it goes forwards without dropout, else copies;
 * and the mask in its order. Throws UNSUPPORTED for an option that only a mask brings to bear.
 */
export function bindSequence(site: Site, { T, C, backwards, dropout, zeroesMasked, name }: Sequence) {
  const { kernels, maxBatch, allocate, random } = site;
  const input = site.inputs[0]!;
  if (zeroesMasked && input.mask !== 0)
    throw new FleetError(
      "UNSUPPORTED",
      `layer "${name}": the engine has no zero_output_for_mask true where steps are masked; leave the masking out`,
    );
  const own = backwards || dropout > 0;
  const copy = own ? allocate(T * maxBatch * C) : input.value; // (T, batch, C)
  const dx = own && input.gradient !== 0 ? allocate(T * maxBatch * C) : input.gradient; // (T, batch, C)
  const mask = input.mask !== 0 ? allocate(T * maxBatch) : 0; // (T, batch)
  const factors = dropout > 0 ? allocate(maxBatch * C) : 0; // (batch, C)
  return {
    mask,
    dx,
    /** One float, while stepping. */
    stepMask: input.mask,
    /** Before the kernel's forward: gives its input. */
    take(batch: number, training: boolean): Address {
      if (mask !== 0) kernels.maskByTime(input.mask, mask, T, batch, backwards);
      if (!backwards && !(training && dropout > 0)) return input.value;
      const drop = training ? factors : 0;
      if (drop !== 0) kernels.dropFactors(random, factors, batch * C, dropout);
      kernels.arrangeSteps(input.value, copy, drop, T, batch * C, backwards);
      return copy;
    },
    /** The kernel's input in backward, which only follows a forward that trains. */
    trained: copy,
    /** After the kernel's backward. */
    giveBack(batch: number): void {
      if (own && dx !== 0) kernels.arrangeSteps(dx, input.gradient, factors, T, batch * C, backwards);
    },
  };
}

/** Panels of 16 columns, as models/kernels/assembly/step-product.ts packs a (k, n) matrix. */
export function panelFloats(k: number, n: number): number {
  return k * Math.ceil(n / 16) * 16;
}
