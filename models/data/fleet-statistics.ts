import type { DetectorSpec } from "../../protocol/task.ts";
import { quantileStatistics, sketchOf } from "./fleet-quantiles.ts";
import type { Series } from "./series.ts";
import { encodeStatistics, mergeStatistics, seriesStatistics } from "./statistics.ts";
import type { RowRange } from "./windows.ts";

export interface FleetPart {
  readonly device: string;
  readonly series: Pick<Series, "values" | "channels" | "rows">;
  /** What of it is trained on. */
  readonly range: RowRange;
}

/** What a coordinator would gather before round one, where all devices are in one process; null where each scales by its own. */
export function fleetStatistics(
  scaling: DetectorSpec["scaling"],
  parts: readonly FleetPart[],
): Uint8Array | null {
  if (scaling === "local") return null;
  const merged = mergeStatistics(
    parts.map(
      ({ device, series, range }) => [device, encodeStatistics(seriesStatistics(series, range))] as const,
    ),
  );
  if (scaling === "federated") return merged;
  return quantileStatistics(parts.map(({ series, range }) => sketchOf(series, range, merged)));
}
