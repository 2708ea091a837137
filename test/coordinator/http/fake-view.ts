import type { Page, View } from "../../../coordinator/view.ts";
import {
  AlertView,
  DeviceView,
  type LiveEvent,
  RoundView,
  TaskView,
  VersionView,
} from "../../../protocol/api.ts";
import { TaskSpec } from "../../../protocol/task.ts";

const sha = (n: number) => n.toString(16).padStart(64, "0");

export const device = (id: string): DeviceView =>
  DeviceView.parse({
    device: id,
    online: true,
    enrolledMs: 1,
    lastSeenMs: null,
    birth: { bootSeq: 1, agent: "0.1.0", channels: 3, running: null, chunkBytes: 1024 },
    heartbeat: null,
    running: { number: 2, sha256: sha(2) },
    alerts: 3,
    refused: { FORBIDDEN: 1 },
  });

export const round = (number: number): RoundView =>
  RoundView.parse({
    task: "main",
    round: number,
    phase: "closed",
    base: sha(number),
    openedMs: number * 1000,
    closedMs: number * 1000 + 500,
    invited: ["pump-1", "pump-2"],
    accepted: ["pump-1"],
    declined: [{ device: "pump-2", code: "UNAVAILABLE" }],
    late: [],
    loss: 0.5,
    heldBackLoss: null,
    samples: 100,
    trainMs: 20,
    aggregateMs: 1.5,
    version: { number, sha256: sha(number) },
    reason: null,
  });

export const version = (number: number): VersionView =>
  VersionView.parse({
    task: "main",
    number,
    sha256: sha(number),
    base: null,
    round: number,
    createdMs: number,
    bytes: 4096,
    installed: ["pump-1"],
  });

export const alert = (seq: number, of: string): AlertView =>
  AlertView.parse({
    id: seq.toString(16).padStart(16, "0"),
    phase: "onset",
    event: seq.toString(16).padStart(16, "0"),
    row: seq,
    atMs: seq,
    score: 9,
    threshold: 3,
    version: { number: 1, sha256: sha(1) },
    channels: [{ channel: 0, name: "flow", share: 0.9 }],
    device: of,
    receivedMs: seq,
    seq,
  });

export const task: TaskView = TaskView.parse({
  task: TaskSpec.parse({}),
  phase: "training",
  version: null,
  roundsDone: 4,
});

/** A coordinator of two devices, 600 rounds, 3 versions and 20 alerts. */
export interface FakeView extends View {
  tell(event: LiveEvent): void;
  readonly listeners: Set<(event: LiveEvent) => void>;
  state: { ready: boolean; reason: string | undefined };
  /** Pages that were asked for. */
  readonly asked: unknown[];
  /** What `fleet` says. */
  devices: readonly DeviceView[];
}

export function fakeView(): FakeView {
  const page = <T>(all: readonly T[], place: (item: T) => number, { limit, before = Infinity }: Page) =>
    all
      .filter((item) => place(item) < before)
      .sort((a, b) => place(b) - place(a))
      .slice(0, limit);
  const rounds = Array.from({ length: 600 }, (_, i) => round(i + 1));
  const versions = [1, 2, 3].map(version);
  const alerts = Array.from({ length: 20 }, (_, i) => alert(i + 1, i % 2 ? "pump-1" : "pump-2"));
  const listeners = new Set<(event: LiveEvent) => void>();
  const self: FakeView = {
    listeners,
    asked: [],
    devices: [device("pump-1"), device("pump-2")],
    state: { ready: true, reason: undefined },
    tell(event) {
      for (const listener of listeners) listener(event);
    },
    task: () => task,
    fleet: () => self.devices,
    device: (id) => self.devices.find((view) => view.device === id),
    async rounds(asked) {
      self.asked.push(asked);
      return page(rounds, (r) => r.round, asked);
    },
    round: async (number) => rounds[number - 1],
    versions: async (asked) => page(versions, (v) => v.number, asked),
    async alerts(asked) {
      self.asked.push(asked);
      const found = alerts.filter((a) => asked.device === undefined || a.device === asked.device);
      return page(found, (a) => a.seq, asked);
    },
    ready: () => self.state,
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  return self;
}
