export type { Blobs } from "./blobs.ts";
export {
  type Coordinator,
  type CoordinatorOptions,
  type EnrollOptions,
  enrollDevice,
  startCoordinator,
} from "./coordinator.ts";
export type { Ingest, IngestHandler, UpMessage } from "./ingest.ts";
export type { Entry, Journal, ReadOptions, Write } from "./journal.ts";
export type { Lease, Leases } from "./lease.ts";
export type { Log } from "./log.ts";
export * from "./round.ts";
export type { Page, View } from "./view.ts";
