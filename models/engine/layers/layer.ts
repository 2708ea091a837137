import type { Address, Kernels } from "../../kernels/load.ts";
import type { Initializer } from "../initializers.ts";
import type { Int8Range } from "../int8.ts";
import type { Constraint, Penalty } from "../penalties.ts";
import type { Shape } from "../shape.ts";

/**
 * How a (time, channels) tensor lies in the arena: "batch" is (batch, time, channels), as samples come; "time" is
 * (time, batch, channels), where each step's rows stand together. "any": the layer works on either and keeps it; of
 * several inputs all then lie alike.
 */
export type Order = "batch" | "time" | "any";

/** One layer of a plan: all that is known of it before memory is laid out. */
export interface LayerPlan {
  readonly name: string;
  readonly className: string;
  readonly order: Order;
  readonly outputShape: Shape;
  readonly weights: readonly WeightPlan[];
  /** Floating point operations of one sample's forward pass; a multiply and an add are two. */
  readonly flops: number;
  /** Floats of state that stateful stepping keeps; null when the layer cannot be stepped. */
  readonly stateFloats: number | null;
  /** The output is the first input under another shape, at the same place: no work and no memory. */
  readonly alias?: true;
  /**
   * What becomes of a mask over time steps that comes with the first input: "keep" (the default) hands it on, "drop"
   * ends it, "make": the layer writes one of its own at `Site.output.mask`; "merge": it does so where any input has one.
   */
  readonly mask?: "keep" | "drop" | "make" | "merge";
  /** The first input holds whole numbers from 0 to tokens - 1: it has to be an input of the model, which is checked with every batch. */
  readonly tokens?: number;
  /** Set where every output is a probability, for a loss that would take it for a logit. */
  readonly probabilities?: "softmax" | "sigmoid";
  /** It takes more than one input; any other layer that is called with several is refused. */
  readonly severalInputs?: true;
  /** A step without weights that runs right behind: an activation that is not fused. */
  readonly tail?: LayerPlan;
  /** Takes the layer's scratch from the arena and fixes all addresses. Memory may still grow, so no views are made. */
  bind(site: Site): BoundLayer;
  /** The same layer for inference, its weight "kernel" in 8-bit integers and no longer among the weights. Where it is missing, the layer stays in floats. */
  quantized?(kernel: QuantizedKernel): LayerPlan;
}

export interface QuantizedKernel {
  /** As `packInt8` packs it. */
  readonly packed: Int8Array;
  /** The step of each output channel. */
  readonly scales: Float32Array;
  /** The steps of the layer's input. */
  readonly input: Int8Range;
}

export interface WeightPlan {
  /** "kernel", "recurrent_kernel", "bias". */
  readonly name: string;
  readonly shape: Shape;
  readonly initialize: Initializer;
  /** false: no gradient; the layer itself sets it (moving averages). Stands behind all trained weights in the layout. */
  readonly trained?: boolean;
  readonly regularizer?: Penalty | undefined;
  readonly constraint?: Constraint | undefined;
}

/** Where a layer stands in the arena. Tensors are for up to maxBatch samples and packed at the batch in hand. */
export interface Site {
  readonly kernels: Kernels;
  readonly maxBatch: number;
  allocate(floats: number): Address;
  readonly inputs: readonly Tensor[];
  readonly output: Tensor;
  /** In the order of `LayerPlan.weights`. */
  readonly weights: readonly Address[];
  readonly weightGradients: readonly Address[];
  /** Four 32-bit words of a random generator of its own, seeded by `Machine.seed`; never all zero. */
  readonly random: Address;
  /** `stateFloats` floats, zero at the start of a stream. */
  readonly state: Address;
  /** Stateful stepping: one row of each input, and of the output. */
  readonly rows: { readonly inputs: readonly Address[]; readonly output: Address };
}

export interface Tensor {
  readonly shape: Shape;
  readonly value: Address;
  /** 0 when nobody asks for it. */
  readonly gradient: Address;
  /** (batch, time), 1 where a step counts and 0 where it is masked; always in batch order. 0 where there is no mask. */
  readonly mask: Address;
}

/** A layer at work. Nothing here allocates. */
export interface BoundLayer {
  /**
   * `training`: dropout drops, batch statistics are the batch's own. `kept`: the weights are those of the last call, and no `backward` came
   * between, so that what was derived from them still holds.
   */
  forward(batch: number, training: boolean, kept?: boolean): void;
  /**
   * After `forward` with the same batch and training on: reads the output's gradient (and may overwrite it), sets the inputs'
   * gradients, adds to the weights' gradients.
   */
  backward(batch: number): void;
  /** One time step of one stream from `Site.rows.inputs` to `Site.rows.output`, with the state at `Site.state`. */
  step?(): void;
}

/** Reads one layer of a topology: its config, and the shapes of what comes in. */
export type LayerKind = (layer: LayerConfig) => LayerPlan;

export interface LayerConfig {
  readonly name: string;
  readonly className: string;
  readonly config: unknown;
  /** The first input's, for the many layers that have only one. */
  readonly inputShape: Shape;
  readonly inputShapes: readonly Shape[];
  /** Arguments of the call in a functional model, such as use_causal_mask. */
  readonly call: Readonly<Record<string, unknown>>;
}
