import { FleetError } from "../../../../protocol/errors.ts";
import type { LayerConfig } from "../../layers/layer.ts";
import type { LayerKinds } from "../../layers/registry.ts";
import type { Shape } from "../../shape.ts";
import type { Graph } from "./graph.ts";

/** One call of a layer on its way into a graph. The engine has compiled it before, so that its options are known to be good. */
export interface Emission extends LayerConfig {
  readonly graph: Graph;
  /** Those of the topology. */
  readonly kinds: LayerKinds;
  readonly config: Readonly<Record<string, unknown>>;
  /** Names of values; (batch, ...inputShapes[i]). */
  readonly inputs: readonly string[];
  readonly outputShape: Shape;
  /** Without the layer's name: "kernel". undefined where the layer has none of that name. */
  weight(name: string): Weight | undefined;
}

export interface Weight {
  readonly shape: Shape;
  readonly values: Float32Array;
}

/** Gives the name of the output's value. */
export type Emit = (emission: Emission) => string;

export function lacks({ name, className }: LayerConfig, what: string): FleetError {
  return new FleetError("UNSUPPORTED", `layer "${name}" (${className}): there is no ONNX form of ${what}`);
}

export function weightOf(emission: Emission, name: string): Weight {
  const weight = emission.weight(name);
  if (weight === undefined)
    throw new FleetError("BAD_INPUT", `layer "${emission.name}" has no weight ${name}`);
  return weight;
}

/** A weight as it is, or under another shape of the same size. */
export function constant({ graph }: Emission, { values, shape }: Weight, as: Shape = shape): string {
  return graph.floats(values, as);
}

/** Axis i of the result is axis axes[i] of the weight. */
export function permuted({ values, shape }: Weight, axes: readonly number[]): Weight {
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));
  const target = axes.map((axis) => shape[axis]!);
  const out = new Float32Array(values.length);
  const place = new Array<number>(target.length).fill(0);
  for (let i = 0; i < out.length; i++) {
    out[i] = values[place.reduce((sum, at, axis) => sum + at * strides[axes[axis]!]!, 0)]!;
    for (let axis = target.length - 1; axis >= 0; axis--) {
      place[axis]! += 1;
      if (place[axis]! < target[axis]!) break;
      place[axis] = 0;
    }
  }
  return { shape: target, values: out };
}

/** The value under another shape; the batch stays as it is. */
export function reshaped(graph: Graph, value: string, shape: Shape): string {
  return graph.node("Reshape", [value, graph.ints([0, ...shape])]);
}

export function transposed(graph: Graph, value: string, axes: readonly number[]): string {
  return graph.node("Transpose", [value], { perm: { ints: axes } });
}

/** An option that may be one number for all axes, or one each. */
export function perAxis(option: unknown, axes: number, fallback = 1): number[] {
  if (option === null || option === undefined) return Array<number>(axes).fill(fallback);
  return Array.isArray(option) ? (option as number[]) : Array<number>(axes).fill(option as number);
}
