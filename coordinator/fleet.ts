import type { DeviceView } from "../protocol/api.ts";
import { channelsOfBirth, type DeviceChannels, sameChannels } from "../protocol/device-channels.ts";
import type { ErrorCode } from "../protocol/errors.ts";
import type { Birth, Death, Heartbeat, Running } from "../protocol/messages.ts";

/** What is known of each device right now. All of it comes back by itself after a restart, but for what the journal keeps. */
export interface Fleet {
  /** Knows the device from here on. */
  add(device: string, known: { readonly enrolledMs: number; readonly alerts: number }): void;
  has(device: string): boolean;
  born(device: string, birth: Birth, nowMs: number): void;
  /** A death whose bootSeq is not the present one came late and is ignored: false. */
  died(device: string, death: Death, nowMs: number): boolean;
  /** True where the device's scores have begun or ceased to drift, or retraining became due. */
  beat(device: string, heartbeat: Heartbeat, nowMs: number): boolean;
  /** Devices that said so last: all that drift, and those of them that are due for retraining. */
  drifts(): { readonly drifting: number; readonly retrainDue: number };
  installed(device: string, running: Running): void;
  alerted(device: string): void;
  refused(device: string, code: ErrorCode | "INTERNAL"): void;
  /** Why the device can't take part, or undefined where it can. */
  barred(device: string, problem: string | undefined): void;
  view(device: string): DeviceView | undefined;
  views(): readonly DeviceView[];
  /** Devices that are online with these channels. */
  online(channels?: DeviceChannels): readonly string[];
}

type Device = { -readonly [K in keyof DeviceView]: DeviceView[K] };

export function createFleet(): Fleet {
  const devices = new Map<string, Device>();
  const change = (device: string, change: (known: Device) => void) => {
    const known = devices.get(device);
    if (known !== undefined) change(known);
  };

  return {
    add(device, { enrolledMs, alerts }) {
      if (devices.has(device)) return;
      const nothing = {
        online: false,
        lastSeenMs: null,
        birth: null,
        heartbeat: null,
        running: null,
        refused: {},
      };
      devices.set(device, { device, enrolledMs, alerts, ...nothing });
    },
    has: (device) => devices.has(device),
    born(device, { kind: _, ...birth }, nowMs) {
      change(device, (known) => {
        known.online = true;
        known.birth = birth;
        known.running = birth.running;
        known.lastSeenMs = nowMs;
      });
    },
    died(device, { bootSeq }, nowMs) {
      const known = devices.get(device);
      if (known?.birth?.bootSeq !== bootSeq) return false;
      known.online = false;
      known.lastSeenMs = nowMs;
      return true;
    },
    beat(device, { kind: _, ...heartbeat }, nowMs) {
      const before = driftOf(devices.get(device));
      change(device, (known) => {
        known.heartbeat = heartbeat;
        known.running = heartbeat.running;
        known.lastSeenMs = nowMs;
      });
      return driftOf(devices.get(device)) !== before;
    },
    drifts() {
      const states = [...devices.values()].map(driftOf);
      return {
        drifting: states.filter((state) => state !== "stable").length,
        retrainDue: states.filter((state) => state === "retrain-due").length,
      };
    },
    installed(device, running) {
      change(device, (known) => {
        known.running = running;
      });
    },
    alerted(device) {
      change(device, (known) => {
        known.alerts += 1;
      });
    },
    refused(device, code) {
      change(device, (known) => {
        known.refused = { ...known.refused, [code]: (known.refused[code] ?? 0) + 1 };
      });
    },
    barred(device, problem) {
      change(device, (known) => {
        if (problem === undefined) delete known.problem;
        else known.problem = problem;
      });
    },
    view: (device) => devices.get(device),
    views: () => [...devices.values()].sort((a, b) => (a.device < b.device ? -1 : 1)),
    online: (channels) =>
      [...devices.values()]
        .filter(({ online, birth }) => online && (channels === undefined || hasChannels(birth, channels)))
        .map(({ device }) => device),
  };
}

function hasChannels(birth: DeviceView["birth"], channels: DeviceChannels): boolean {
  return birth !== null && sameChannels(channelsOfBirth(birth), channels);
}

function driftOf(device: Device | undefined): NonNullable<Heartbeat["drift"]>["state"] {
  return device?.heartbeat?.drift?.state ?? "stable";
}
