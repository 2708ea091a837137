/** What a device was doing in a round: moments, milliseconds since 1970. */
export interface DeviceTimes {
  /** It began to fetch the round's base version. */
  readonly fetchMs: number;
  /** It ran the base version. */
  readonly installedMs: number;
  /** It was about to hand its data to the training thread. */
  readonly beganMs: number;
  /** Its update was in the outbox, on disk. */
  readonly trainedMs: number;
  /** The coordinator had its update, checked and on disk. */
  readonly receivedMs: number;
  /** Of the time from `beganMs` to `trainedMs`, how long the training itself ran. */
  readonly trainMs: number;
}

export interface RoundTimes {
  readonly openedMs: number;
  readonly closedMs: number;
  readonly devices: readonly DeviceTimes[];
}

/** Measured apart, in a process that has a core for itself: milliseconds for one update. */
export interface UpdateCosts {
  /** Device: frame, hashes, offer and chunks from the weights. */
  readonly encodeMs: number;
  /** Coordinator: offer and chunks from messages, hashes, frame, gate. */
  readonly decodeMs: number;
  /** Coordinator: one update into the exact sum. */
  readonly addMs: number;
}

/** Parts of a round's duration. */
export interface Parts {
  readonly training: number;
  readonly encoding: number;
  readonly network: number;
  readonly aggregation: number;
  /** Devices fetch, check, calibrate and swap in the version that the round starts from. */
  readonly installing: number;
  readonly other: number;
}

export const partNames = [
  "training",
  "encoding",
  "network",
  "aggregation",
  "installing",
  "other",
] as const satisfies readonly (keyof Parts)[];

/**
 * Splits a round's duration into parts, milliseconds, which sum to it exactly.
 *
 * Every moment from the opening to the last update belongs to the devices that are not done yet, to each of them the same part of it, and
 * counts for what that device is doing. So what nobody waits for costs nothing, and where devices share too few cores the time of one
 * is not counted again for those that wait for the same core. From the last update to the close all is aggregation.
 *
 * Encoding and the exact sum have no moments of their own in any log: their costs are taken off the part that they lie in.
 */
export function splitRound(times: RoundTimes, costs: UpdateCosts, cores: number): Parts {
  const { openedMs, closedMs } = times;
  const within = (ms: number) => Math.min(Math.max(ms, openedMs), closedMs);
  // Moments in order, even where two processes wrote them down in another one.
  const devices = times.devices.map((d): DeviceTimes => {
    const fetchMs = within(d.fetchMs);
    const installedMs = Math.max(fetchMs, within(d.installedMs));
    const beganMs = Math.max(installedMs, within(d.beganMs));
    const trainedMs = Math.max(beganMs, within(d.trainedMs));
    return {
      ...d,
      fetchMs,
      installedMs,
      beganMs,
      trainedMs,
      receivedMs: Math.max(trainedMs, within(d.receivedMs)),
    };
  });
  const moments = devices.flatMap((d) => [d.fetchMs, d.installedMs, d.beganMs, d.trainedMs, d.receivedMs]);
  const edges = [...new Set([openedMs, ...moments, closedMs])].sort((a, b) => a - b);

  const sum = { training: 0, network: 0, aggregation: 0, installing: 0, other: 0 };
  for (let i = 0; i + 1 < edges.length; i++) {
    const [from, to] = [edges[i]!, edges[i + 1]!];
    const active = devices.filter(({ receivedMs }) => receivedMs > from);
    if (active.length === 0) sum.aggregation += to - from;
    const each = (to - from) / active.length;
    for (const device of active) {
      if (from < device.fetchMs || from >= device.trainedMs) sum.network += each;
      else if (from < device.installedMs) sum.installing += each;
      else if (from < device.beganMs) sum.other += each;
      else {
        const training = Math.min(1, device.trainMs / (device.trainedMs - device.beganMs));
        sum.training += each * training;
        sum.other += each * (1 - training);
      }
    }
  }

  const count = devices.length;
  // Devices encode side by side, as far as there are cores; the coordinator takes one update after the other.
  const encode = Math.min(sum.other, (count * costs.encodeMs) / Math.max(1, Math.min(cores, count)));
  const decode = Math.min(sum.network, count * costs.decodeMs);
  const add = Math.min(sum.network - decode, count * costs.addMs);
  return {
    training: sum.training,
    encoding: encode + decode,
    network: sum.network - decode - add,
    aggregation: sum.aggregation + add,
    installing: sum.installing,
    other: sum.other - encode,
  };
}

/** Each part of all rounds together over their durations together: they sum to 1. */
export function shares(rounds: readonly Parts[]): Parts {
  const total = rounds.reduce((sum, parts) => sum + partNames.reduce((all, name) => all + parts[name], 0), 0);
  const share = (name: keyof Parts) => rounds.reduce((sum, parts) => sum + parts[name], 0) / total;
  return {
    training: share("training"),
    encoding: share("encoding"),
    network: share("network"),
    aggregation: share("aggregation"),
    installing: share("installing"),
    other: share("other"),
  };
}
