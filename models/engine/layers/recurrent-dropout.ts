import { FleetError } from "../../../protocol/errors.ts";
import type { Address } from "../../kernels/load.ts";
import type { Site } from "./layer.ts";

// Recurrent dropout: of the state that the recurrent kernel sees, channels are left out while training, the same ones at every step of a sample
// and for every gate. What a gated cell carries on is whole. The fused kernels know nothing of it: a layer that has it trains with plain products
// and maths over (batch, units), step by step, and scores with the fused kernels.
// Source: Gal & Ghahramani 2016, arXiv 1512.05287, section 4, tied weights; tfjs does the same, Keras draws for each gate by itself.

/** A layer's sequence and memory. */
export interface Recurrence {
  readonly T: number;
  readonly C: number;
  readonly H: number;
  readonly sequences: boolean;
  readonly recurrentDropout: number;
  readonly name: string;
  readonly gates: number;
  /** Kernel (C, gates H), recurrent kernel (H, gates H), bias (gates H) or 0, and their gradients. */
  readonly w: Address;
  readonly r: Address;
  readonly b: Address;
  readonly dw: Address;
  readonly dr: Address;
  readonly db: Address;
  /** (T, batch, H) */
  readonly hs: Address;
  /** (gates, T, batch, H): the layer's own memory of its gates. */
  readonly gateValues: Address;
  /** (T, batch, C), or 0 */
  readonly dx: Address;
}

/** Training with recurrent dropout. x: (T, batch, C). */
export interface Dropped {
  forward(x: Address, batch: number): void;
  backward(x: Address, batch: number): void;
}

/** One step of a cell. All tensors of a step are (batch, H), n floats; `recur` and `recurBack` are the recurrent kernel's products. */
interface Cell {
  /** From the gates' parts that the inputs make, `held` and the step before to h. */
  forward(t: number, n: number, batch: number): void;
  /**
   * From `dh`, the gradient of h. Leaves at each gate the gradient before its activation, at `dHeld` that of the dropped state, and at `dh` that
   * of the state before, as far as it did not pass the dropout.
   */
  backward(t: number, n: number, batch: number): void;
  /** What the recurrent kernel of a gate was multiplied with, (T, batch, H), where it was not the dropped state; and a gradient of its own. */
  seen?(gate: number): { readonly state: Address; readonly gradient: Address };
}

interface Shared {
  /** Of gate g at step t. */
  gate(g: number, t: number, n: number): Address;
  /** The dropped state before step t. */
  held(t: number, n: number): Address;
  readonly hs: Address;
  readonly dh: Address;
  readonly dHeld: Address;
  /** to += from times the recurrent kernel of gate g. */
  recur(g: number, from: Address, to: Address, batch: number): void;
  /** to = or += from times that kernel transposed. */
  recurBack(g: number, from: Address, to: Address, batch: number, adds: boolean): void;
}

/** Throws UNSUPPORTED where steps are masked. */
function dropped(site: Site, layer: Recurrence, cellOf: (shared: Shared) => Cell): Dropped {
  const { kernels, maxBatch, allocate, random, inputs, output } = site;
  const { T, C, H, sequences, recurrentDropout, gates, w, r, b, dw, dr, db, hs, gateValues, dx } = layer;
  if (inputs[0]!.mask !== 0)
    throw new FleetError(
      "UNSUPPORTED",
      `layer "${layer.name}": the engine has no recurrent_dropout where steps are masked; leave one of the two out`,
    );
  const G = gates * H;
  const factors = allocate(maxBatch * H); // (batch, H)
  const states = allocate(T * maxBatch * H); // (T, batch, H)
  const dh = allocate(maxBatch * H); // (batch, H)
  const dHeld = allocate(maxBatch * H); // (batch, H)
  const ofGate = (address: Address, g: number) => address + g * H * 4;
  const values = (g: number) => gateValues + g * T * maxBatch * H * 4;
  const cell = cellOf({
    gate: (g, t, n) => values(g) + t * n * 4,
    held: (t, n) => states + t * n * 4,
    hs,
    dh,
    dHeld,
    recur(g, from, to, batch) {
      kernels.gemm(false, false, batch, H, H, from, H, ofGate(r, g), G, to, H, true, 0);
    },
    recurBack(g, from, to, batch, adds) {
      kernels.gemm(false, true, batch, H, H, from, H, ofGate(r, g), G, to, H, adds, 0);
    },
  });
  return {
    forward(x, batch) {
      const n = batch * H;
      kernels.dropFactors(random, factors, n, recurrentDropout);
      for (let g = 0; g < gates; g++) {
        const bias = b === 0 ? 0 : ofGate(b, g);
        kernels.gemm(false, false, T * batch, H, C, x, C, ofGate(w, g), G, values(g), H, false, bias);
      }
      kernels.clear(states, n);
      for (let t = 0; t < T; t++) {
        if (t > 0) kernels.applyMask(hs + (t - 1) * n * 4, factors, states + t * n * 4, n);
        cell.forward(t, n, batch);
      }
      if (!sequences) kernels.copy(output.value, hs + (T - 1) * n * 4, n);
    },
    backward(x, batch) {
      const n = batch * H;
      kernels.clear(dh, n);
      for (let t = T - 1; t >= 0; t--) {
        if (sequences) kernels.addTo(dh, output.gradient + t * n * 4, n);
        else if (t === T - 1) kernels.copy(dh, output.gradient, n);
        cell.backward(t, n, batch);
        kernels.applyMask(dHeld, factors, dHeld, n);
        kernels.addTo(dh, dHeld, n);
      }
      const rows = T * batch;
      for (let g = 0; g < gates; g++) {
        const dz = values(g);
        const { state, gradient } = cell.seen?.(g) ?? { state: states, gradient: dz };
        kernels.gemm(true, false, C, H, rows, x, C, dz, H, ofGate(dw, g), G, true, 0);
        kernels.gemm(true, false, H, H, rows, state, H, gradient, H, ofGate(dr, g), G, true, 0);
        if (db !== 0) kernels.columnSums(dz, H, rows, H, ofGate(db, g));
        if (dx !== 0) kernels.gemm(false, true, rows, C, H, dz, H, ofGate(w, g), G, dx, C, g > 0, 0);
      }
    },
  };
}

const SUBTRACT = 1;
const MULTIPLY = 2; // models/kernels/assembly/merge.ts

/** h = f(x W + held R + b) */
export function droppedRnn(site: Site, layer: Recurrence, act: number): Dropped {
  const { kernels } = site;
  return dropped(site, layer, ({ gate, held, hs, dh, dHeld, recur, recurBack }) => ({
    forward(t, n, batch) {
      const z = gate(0, t, n);
      recur(0, held(t, n), z, batch);
      kernels.activate(act, z, n);
      kernels.copy(hs + t * n * 4, z, n);
    },
    backward(t, n, batch) {
      const z = gate(0, t, n);
      kernels.activateBackward(act, z, dh, n);
      kernels.copy(z, dh, n);
      recurBack(0, z, dHeld, batch, false);
      kernels.clear(dh, n);
    },
  }));
}

/** Gates i, f, c, o. cells, squashed: (T, batch, H), c and f(c). */
export function droppedLstm(
  site: Site,
  layer: Recurrence,
  { act, recAct, cells, squashed }: Codes & { readonly cells: Address; readonly squashed: Address },
): Dropped {
  const { kernels, maxBatch, allocate } = site;
  const { H, T } = layer;
  const own = () => allocate(maxBatch * H); // (batch, H)
  const [zeros, dc, aside] = [own(), own(), own()];
  const kinds = [recAct, recAct, act, recAct];
  return dropped(site, layer, ({ gate, held, hs, dh, dHeld, recur, recurBack }) => ({
    forward(t, n, batch) {
      const at = t * n * 4;
      for (let g = 0; g < 4; g++) {
        recur(g, held(t, n), gate(g, t, n), batch);
        kernels.activate(kinds[g]!, gate(g, t, n), n);
      }
      const before = t > 0 ? cells + at - n * 4 : zeros;
      kernels.combine(MULTIPLY, gate(0, t, n), gate(2, t, n), cells + at, n);
      kernels.combine(MULTIPLY, gate(1, t, n), before, aside, n);
      kernels.addTo(cells + at, aside, n);
      kernels.copy(squashed + at, cells + at, n);
      kernels.activate(act, squashed + at, n);
      kernels.combine(MULTIPLY, gate(3, t, n), squashed + at, hs + at, n);
    },
    backward(t, n, batch) {
      const at = t * n * 4;
      const [i, f, c, o] = [gate(0, t, n), gate(1, t, n), gate(2, t, n), gate(3, t, n)];
      const before = t > 0 ? cells + at - n * 4 : zeros;
      if (t === T - 1) kernels.clear(dc, n);
      kernels.combine(MULTIPLY, dh, o, aside, n);
      kernels.activateBackward(act, squashed + at, aside, n);
      kernels.addTo(dc, aside, n);
      // o, then f with what the cell before gets, then c and i, each of which the other one's gradient needs.
      kernels.combine(MULTIPLY, dh, squashed + at, aside, n);
      kernels.activateBackward(recAct, o, aside, n);
      kernels.copy(o, aside, n);
      kernels.combine(MULTIPLY, dc, i, aside, n);
      kernels.combine(MULTIPLY, dc, c, dh, n);
      kernels.activateBackward(act, c, aside, n);
      kernels.activateBackward(recAct, i, dh, n);
      kernels.copy(c, aside, n);
      kernels.copy(i, dh, n);
      kernels.combine(MULTIPLY, dc, before, aside, n);
      kernels.combine(MULTIPLY, dc, f, dc, n);
      kernels.activateBackward(recAct, f, aside, n);
      kernels.copy(f, aside, n);
      for (let g = 0; g < 4; g++) recurBack(g, gate(g, t, n), dHeld, batch, g > 0);
      kernels.clear(dh, n);
    },
  }));
}

interface Codes {
  readonly act: number;
  readonly recAct: number;
}

/** Gates z, r, h. inner: (T, batch, H), r times the state, or the state times its kernel where the reset comes `after`; then bias (2, 3H). */
export function droppedGru(
  site: Site,
  layer: Recurrence,
  { act, recAct, after, inner }: Codes & { readonly after: boolean; readonly inner: Address },
): Dropped {
  const { kernels, maxBatch, allocate } = site;
  const { T, H, b, db, hs, gateValues } = layer;
  const own = () => allocate(maxBatch * H); // (batch, H)
  const [zeros, aside] = [own(), own()];
  const late = 3 * H * 4;
  const both = after && b !== 0;
  const cell = dropped(site, layer, ({ gate, held, dh, dHeld, recur, recurBack }) => ({
    forward(t, n, batch) {
      const at = t * n * 4;
      const [z, r, h, u] = [gate(0, t, n), gate(1, t, n), gate(2, t, n), inner + at];
      const before = t > 0 ? hs + at - n * 4 : zeros;
      recur(0, held(t, n), z, batch);
      recur(1, held(t, n), r, batch);
      if (both) {
        kernels.addRow(z, b + late, batch, H);
        kernels.addRow(r, b + late + H * 4, batch, H);
      }
      kernels.activate(recAct, z, n);
      kernels.activate(recAct, r, n);
      if (after) {
        kernels.clear(u, n);
        recur(2, held(t, n), u, batch);
        if (both) kernels.addRow(u, b + late + 2 * H * 4, batch, H);
        kernels.combine(MULTIPLY, r, u, aside, n);
        kernels.addTo(h, aside, n);
      } else {
        kernels.combine(MULTIPLY, r, held(t, n), u, n);
        recur(2, u, h, batch);
      }
      kernels.activate(act, h, n);
      // z before + (1 - z) h = h + z (before - h)
      kernels.combine(SUBTRACT, before, h, hs + at, n);
      kernels.combine(MULTIPLY, hs + at, z, hs + at, n);
      kernels.addTo(hs + at, h, n);
    },
    backward(t, n, batch) {
      const at = t * n * 4;
      const [z, r, h, u] = [gate(0, t, n), gate(1, t, n), gate(2, t, n), inner + at];
      const before = t > 0 ? hs + at - n * 4 : zeros;
      kernels.combine(SUBTRACT, before, h, aside, n);
      kernels.combine(MULTIPLY, aside, dh, aside, n);
      kernels.activateBackward(recAct, z, aside, n);
      kernels.combine(MULTIPLY, dh, z, dHeld, n);
      kernels.copy(z, aside, n);
      kernels.combine(SUBTRACT, dh, dHeld, aside, n);
      kernels.activateBackward(act, h, aside, n);
      kernels.copy(h, aside, n);
      kernels.copy(dh, dHeld, n);
      if (after) {
        kernels.combine(MULTIPLY, h, u, aside, n);
        kernels.combine(MULTIPLY, h, r, u, n); // of inner, from here on
        recurBack(2, u, dHeld, batch, false);
      } else {
        recurBack(2, h, aside, batch, false);
        kernels.combine(MULTIPLY, aside, r, dHeld, n);
        kernels.combine(MULTIPLY, aside, held(t, n), aside, n);
      }
      kernels.activateBackward(recAct, r, aside, n);
      kernels.copy(r, aside, n);
      recurBack(0, z, dHeld, batch, true);
      recurBack(1, r, dHeld, batch, true);
    },
    seen(g) {
      const gradient = gateValues + g * T * maxBatch * H * 4;
      if (g < 2) return { state: held(0, 0), gradient };
      return after ? { state: held(0, 0), gradient: inner } : { state: inner, gradient };
    },
  }));
  if (!both) return cell;
  return {
    forward: cell.forward,
    backward(x, batch) {
      cell.backward(x, batch);
      for (let g = 0; g < 3; g++) {
        const gradient = g < 2 ? gateValues + g * T * maxBatch * H * 4 : inner;
        kernels.columnSums(gradient, H, T * batch, H, db + late + g * H * 4);
      }
    },
  };
}
