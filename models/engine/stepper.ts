import { FleetError } from "../../protocol/errors.ts";
import type { Machine } from "./machine.ts";

/** Scores a stream one row at a time: what the recurrent layers remember is kept from step to step. */
export interface Stepper {
  /**
   * row: (channels). Gives the output row for the sequence so far: a view, valid until the next step of any stepper of
   * this model. Throws BAD_SHAPE, NOT_FINITE; the state is then as before.
   */
  step(row: Float32Array): Float32Array;
  /** Forgets the stream. */
  reset(): void;
  /** A copy of what is remembered; `setState` goes on from it. */
  state(): Float32Array;
  /** Throws BAD_SHAPE, NOT_FINITE. */
  setState(state: Float32Array): void;
  dispose(): void;
}

/** The one state region of the arena, and whose state is in it: steppers of one model take turns. */
export interface StateSlot {
  owner: object | null;
}

export function createStepper(machine: () => Machine, slot: StateSlot): Stepper {
  const { states, inputRow } = machine();
  const saved = new Float32Array(states.length);
  let disposed = false;

  const stepper = {
    step(row: Float32Array) {
      const live = take();
      if (row.length !== inputRow.length) {
        throw new FleetError("BAD_SHAPE", `the row has ${row.length} channels, the model ${inputRow.length}`);
      }
      live.inputRow.set(row);
      live.step();
      return live.outputRow;
    },
    reset() {
      take().states.fill(0);
    },
    state() {
      return take().states.slice();
    },
    setState(state: Float32Array) {
      if (state.length !== saved.length) {
        throw new FleetError("BAD_SHAPE", `the state has ${state.length} values, the model ${saved.length}`);
      }
      if (!state.every(Number.isFinite)) {
        throw new FleetError("NOT_FINITE", "the state holds NaN or Inf; reset the stepper instead");
      }
      take().states.set(state);
    },
    dispose() {
      if (slot.owner === owner) slot.owner = null;
      disposed = true;
    },
  };

  const owner = { save: () => saved.set(states) };

  /** Makes the arena's state this stepper's. */
  function take(): Machine {
    const live = machine();
    if (disposed) throw new FleetError("UNAVAILABLE", "the stepper was disposed; make a new one");
    if (slot.owner !== owner) {
      (slot.owner as typeof owner | null)?.save();
      states.set(saved);
      slot.owner = owner;
    }
    return live;
  }

  return stepper;
}
