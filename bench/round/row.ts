import { type Spread, spread } from "../bench.ts";
import type { Followed, RoundOnRecord } from "./coordinator.ts";
import type { Costs } from "./costs.ts";
import { type Parts, shares } from "./parts.ts";

export interface MeasureOptions {
  readonly agents: number;
  /** Measured ones, after the warm-up. */
  readonly rounds: number;
  readonly costs: Costs;
  readonly progress: (text: string) => void;
  readonly signal: AbortSignal;
}
export type Measure = (options: MeasureOptions) => Promise<Row>;

/** One line of the result. Times in milliseconds, bytes of a round through the broker's sockets. */
export interface Row {
  readonly mode: "agents" | "coordinator";
  readonly agents: number;
  readonly rounds: number;
  readonly durationMs: Spread;
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** Of the duration; they sum to 1. */
  readonly share: Parts;
  /** The median round's updates over its duration, and the other way round. */
  readonly updatesPerSecond: number;
  readonly msPerUpdate: number;
  /** Of one device's training, wall clock, where cores are shared. */
  readonly trainMs: Spread | null;
  /** From the last update to the new version, on disk and signed. */
  readonly aggregateMs: Spread;
  /** Processor time of a round: all devices together, and the coordinator. null where the system does not say. */
  readonly cpuMs: { readonly devices: number | null; readonly coordinator: number };
  /** The largest of the devices' processes, and the coordinator's. null where the system does not say. */
  readonly peakRssMb: { readonly device: number | null; readonly coordinator: number | null };
}

export interface Measured extends Followed {
  readonly mode: Row["mode"];
  readonly agents: number;
  readonly records: readonly RoundOnRecord[];
  readonly parts: readonly Parts[];
  /** NaN where unknown. */
  readonly peakRss: { readonly device: number; readonly coordinator: number };
}

export function summarise({ mode, agents, records, traffic, parts, cpuMs, peakRss }: Measured): Row {
  const rounds = records.length;
  const durationMs = spread(records.map(({ view }) => (view.closedMs ?? view.openedMs) - view.openedMs));
  const known = (mb: number) => (Number.isNaN(mb) ? null : mb);
  return {
    mode,
    agents,
    rounds,
    durationMs,
    bytesUp: Math.round(spread(traffic.map(({ upBytes }) => upBytes)).median),
    bytesDown: Math.round(spread(traffic.map(({ downBytes }) => downBytes)).median),
    share: shares(parts),
    updatesPerSecond: thousandths((agents * 1000) / durationMs.median),
    msPerUpdate: thousandths(durationMs.median / agents),
    trainMs:
      mode === "agents"
        ? spread(records.flatMap(({ receipts }) => receipts.map(({ trainMs }) => trainMs)))
        : null,
    aggregateMs: spread(records.map(({ view }) => thousandths(view.aggregateMs ?? Number.NaN))),
    cpuMs: {
      devices: cpuMs.devices === undefined ? null : thousandths(cpuMs.devices / rounds),
      coordinator: thousandths(cpuMs.coordinator / rounds),
    },
    peakRssMb: { device: known(peakRss.device), coordinator: known(peakRss.coordinator) },
  };
}

/** Finer is noise. */
export function thousandths(value: number): number {
  return Math.round(value * 1000) / 1000;
}
