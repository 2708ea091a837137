import { FleetError } from "../../protocol/errors.ts";
import { nearest } from "../../protocol/nearest.ts";
import type { Address } from "../kernels/load.ts";
import type { Machine } from "./machine.ts";
import { isTrained, type PlacedWeight } from "./plan.ts";
import { sizeOf } from "./shape.ts";

/** Floats of the flat array that stand together. */
export interface Segment {
  readonly offset: number;
  readonly count: number;
}

/** What of the flat weights is trained, and what is done to them besides the loss's gradient. Nothing here allocates once it is made. */
export interface Trainable {
  readonly segments: readonly Segment[];
  /** How many floats. */
  readonly count: number;
  /** A layer that goes on keeping averages of its inputs. */
  readonly averaging: string | undefined;
  /** Euclidean norm of the trained part of a flat array. */
  norm(array: Address): number;
  /** Adds the gradient of the L1 and L2 penalties to the gradients, and gives the penalties. */
  penalize(): number;
  /** Holds the weights to their constraints. */
  constrain(): void;
}

/** `freeze`: names of layers that are left as they are, besides those that the topology freezes. Throws BAD_INPUT for a name that is not there. */
export function createTrainable(machine: Machine, freeze: readonly string[]): Trainable {
  const { plan, kernels, addresses } = machine;
  const names = plan.steps.map(({ layer }) => layer.name);
  for (const name of freeze) checkLayerName(name, names);
  machine.freeze(freeze);
  const weights = plan.weights.filter(
    (weight) => isTrained(weight) && !weight.frozen && !freeze.includes(weight.layer),
  );
  const segments = segmentsOf(weights);
  const count = segments.reduce((sum, segment) => sum + segment.count, 0);
  if (count === 0) {
    const reason = plan.trained === 0 ? "has no weights" : "has all its weights frozen";
    throw new FleetError("BAD_INPUT", `the model ${reason}, so there is nothing to train`);
  }
  const penalized = weights.flatMap(({ regularizer, offset, shape }) =>
    regularizer === undefined || (regularizer.l1 === 0 && regularizer.l2 === 0)
      ? []
      : [{ ...regularizer, at: offset * 4, size: sizeOf(shape) }],
  );
  const holds = weights.flatMap(({ constraint, offset, shape }) => {
    const w = addresses.weights + offset * 4;
    const size = sizeOf(shape);
    if (constraint === undefined) return [];
    if (constraint.kind === "non-negative") return [() => kernels.holdNonNegative(w, size)];
    const rows = sizeOf(shape.slice(0, constraint.axes));
    const most = constraint.kind === "max-norm" ? constraint.max : 0;
    return [() => kernels.holdNorms(w, rows, size / rows, most)];
  });

  return {
    segments,
    count,
    averaging: plan.weights.find(
      (weight) => !isTrained(weight) && !weight.frozen && !freeze.includes(weight.layer),
    )?.layer,
    norm(array) {
      let sum = 0;
      for (let i = 0; i < segments.length; i++) {
        const segment = segments[i]!;
        sum += kernels.sumOfSquares(array + segment.offset * 4, segment.count);
      }
      return Math.sqrt(sum);
    },
    penalize() {
      let sum = 0;
      for (let i = 0; i < penalized.length; i++) {
        const { l1, l2, at, size } = penalized[i]!;
        sum += kernels.penalty(addresses.weights + at, addresses.gradients + at, size, l1, l2);
      }
      return sum;
    },
    constrain() {
      for (let i = 0; i < holds.length; i++) holds[i]!();
    },
  };
}

/** Neighbours become one, so that most models have a single segment. */
function segmentsOf(weights: readonly PlacedWeight[]): Segment[] {
  const segments: { offset: number; count: number }[] = [];
  for (const { offset, shape } of weights) {
    const last = segments.at(-1);
    if (last !== undefined && last.offset + last.count === offset) last.count += sizeOf(shape);
    else segments.push({ offset, count: sizeOf(shape) });
  }
  return segments;
}

/** Throws BAD_INPUT for a name that is not there. */
export function checkLayerName(name: string, names: readonly string[]): void {
  if (names.includes(name)) return;
  const near = nearest(name, names);
  const hint = near === undefined ? `it has ${names.join(", ")}` : `did you mean "${near}"?`;
  throw new FleetError("BAD_INPUT", `freeze: the model has no layer "${name}"; ${hint}`);
}
