import type { Address, Kernels } from "../../kernels/load.ts";
import type { Initializer } from "../initializers.ts";
import type { Shape } from "../shape.ts";

/**
 * How a (time, channels) tensor lies in the arena: "batch" is (batch, time, channels), as samples come; "time" is
 * (time, batch, channels), where each step's rows stand together. "any": the layer works on either and keeps it.
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
  /** Takes the layer's scratch from the arena and fixes all addresses. Memory may still grow, so no views are made. */
  bind(site: Site): BoundLayer;
}

export interface WeightPlan {
  /** "kernel", "recurrent_kernel", "bias". */
  readonly name: string;
  readonly shape: Shape;
  readonly initialize: Initializer;
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
  /** `stateFloats` floats, zero at the start of a stream. */
  readonly state: Address;
}

export interface Tensor {
  readonly shape: Shape;
  readonly value: Address;
  /** 0 when nobody asks for it. */
  readonly gradient: Address;
}

/** A layer at work. Nothing here allocates. */
export interface BoundLayer {
  forward(batch: number): void;
  /**
   * After `forward` with the same batch: reads the output's gradient (and may overwrite it), sets the inputs'
   * gradients, adds to the weights' gradients.
   */
  backward(batch: number): void;
  /** One time step of one stream from the row at `x` to the row at `y`, with the state at `Site.state`. */
  step?(x: Address, y: Address): void;
}

/** Reads one layer of a topology: its config, and the shape of what comes in. */
export type LayerKind = (layer: LayerConfig) => LayerPlan;

export interface LayerConfig {
  readonly name: string;
  readonly className: string;
  readonly config: unknown;
  readonly inputShape: Shape;
}
