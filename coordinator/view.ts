import type { AlertView, DeviceView, LiveEvent, RoundView, TaskView, VersionView } from "../protocol/api.ts";

export interface Page {
  readonly limit: number;
  /** Only what is older than this: a round's or version's number, an alert's seq. */
  readonly before?: number;
}

/** What may be seen of a running coordinator: all that the HTTP interface and the live feed need, and nothing that changes it. */
export interface View {
  task(): TaskView;
  fleet(): readonly DeviceView[];
  device(id: string): DeviceView | undefined;
  rounds(page: Page): Promise<readonly RoundView[]>;
  round(number: number): Promise<RoundView | undefined>;
  versions(page: Page): Promise<readonly VersionView[]>;
  alerts(page: Page & { readonly device?: string }): Promise<readonly AlertView[]>;
  /** Ready to take devices: the lease is held, the journal writes, the broker listens. */
  ready(): { readonly ready: boolean; readonly reason: string | undefined };
  /** Calls `listener` for every change until the returned function is called. */
  watch(listener: (event: LiveEvent) => void): () => void;
}
