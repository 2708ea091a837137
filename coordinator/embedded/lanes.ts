/** Tasks in lanes: one after another within a lane, lanes side by side. */
export interface Lanes {
  /** `bytes` is what the task holds in memory until it is done. */
  run<T>(lane: string, bytes: number, task: () => Promise<T>): Promise<T>;
  /** What the lane's tasks, waiting or running, hold. */
  bytes(lane: string): number;
  /** Resolves when no task is left. */
  idle(): Promise<void>;
}

export function openLanes(): Lanes {
  const lanes = new Map<string, { tail: Promise<unknown>; bytes: number; tasks: number }>();
  return {
    run(name, bytes, task) {
      const lane = lanes.get(name) ?? { tail: Promise.resolve(), bytes: 0, tasks: 0 };
      lanes.set(name, lane);
      lane.bytes += bytes;
      lane.tasks += 1;
      const done = lane.tail.then(task).finally(() => {
        lane.bytes -= bytes;
        lane.tasks -= 1;
        if (lane.tasks === 0) lanes.delete(name);
      });
      // The next task runs whatever became of this one; who asked for this one gets its error.
      lane.tail = done.catch(() => undefined);
      return done;
    },
    bytes: (name) => lanes.get(name)?.bytes ?? 0,
    async idle() {
      while (lanes.size > 0) await Promise.all([...lanes.values()].map(({ tail }) => tail));
    },
  };
}
