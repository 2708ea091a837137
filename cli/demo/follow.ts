import { io, type Socket } from "socket.io-client";
import type { AlertView, DeviceView, LiveEvents, RoundView, TaskView } from "../../protocol/api.ts";
import type { Api } from "../api.ts";

/** All that the demo knows of the fleet, kept up to date by the coordinator's live feed. */
export interface Fleet {
  readonly task: TaskView | undefined;
  readonly devices: ReadonlyMap<string, DeviceView>;
  readonly rounds: ReadonlyMap<number, RoundView>;
  readonly alerts: readonly AlertView[];
}

export interface Following {
  readonly fleet: Fleet;
  /** Resolves as soon as `holds` does, at once or after some event. */
  until(holds: (fleet: Fleet) => boolean): Promise<void>;
  close(): void;
}

export interface FollowListener {
  round(view: RoundView, before: RoundView | undefined): void;
  alert(view: AlertView): void;
  changed(fleet: Fleet): void;
}

/** Follows the coordinator at `url`. What happened while the feed was away is fetched when it is back. */
export function follow({
  url,
  api,
  listener,
}: {
  url: string;
  api: Api;
  listener: FollowListener;
}): Following {
  const devices = new Map<string, DeviceView>();
  const rounds = new Map<number, RoundView>();
  const alerts = new Map<number, AlertView>();
  let task: TaskView | undefined;
  const waiting = new Set<() => void>();
  const fleet: Fleet = {
    get task() {
      return task;
    },
    devices,
    rounds,
    get alerts() {
      return [...alerts.values()];
    },
  };
  const changed = () => {
    listener.changed(fleet);
    for (const check of waiting) check();
  };
  const onRound = (view: RoundView) => {
    const before = rounds.get(view.round);
    rounds.set(view.round, view);
    listener.round(view, before);
    // The feed tells of the newest round only: who was late for the one before is asked for once, when its successor opens.
    if (before === undefined && rounds.has(view.round - 1))
      api.round(view.round - 1).then(onRound, () => undefined);
  };
  const onAlert = (view: AlertView) => {
    if (alerts.has(view.seq)) return;
    alerts.set(view.seq, view);
    listener.alert(view);
  };

  // https://socket.io/docs/v4/client-options/: a demo on loopback needs neither polling first nor long pauses.
  const socket: Socket<LiveEvents> = io(url, { transports: ["websocket"], reconnectionDelayMax: 1_000 });
  socket.on("device", (view) => {
    devices.set(view.device, view);
    changed();
  });
  socket.on("round", (view) => {
    onRound(view);
    changed();
  });
  socket.on("alert", (view) => {
    onAlert(view);
    changed();
  });
  socket.on("task", (view) => {
    task = view;
    changed();
  });
  socket.on("connect", () => {
    Promise.all([api.task(), api.fleet(), api.rounds(catchUp), api.alerts(catchUp)]).then(
      ([taskNow, fleetNow, roundsNow, alertsNow]) => {
        task = taskNow;
        for (const view of fleetNow) devices.set(view.device, view);
        for (const view of roundsNow.reverse()) onRound(view);
        for (const view of alertsNow.reverse()) onAlert(view);
        changed();
      },
      // The coordinator went away between the two: the next connection tries again.
      () => {},
    );
  });
  return {
    fleet,
    until: (holds) =>
      new Promise((resolve) => {
        const check = () => {
          if (!holds(fleet)) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
    close: () => socket.close(),
  };
}

/** Entries fetched after a connection: more than a demo ever has. */
const catchUp = 1_000;
