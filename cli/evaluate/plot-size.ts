import type { PlotSize } from "../report/device-plot.ts";

/** Characters that the plots of one set may take, so that a report stays below 3 MB; base64 makes 4 of 3 bytes. */
const ROOM = 2_000_000;
const SIZES: readonly PlotSize[] = [
  { columns: 800, heatColumns: 400, heatChannels: 24 },
  { columns: 600, heatColumns: 240, heatChannels: 16 },
  { columns: 400, heatColumns: 160, heatChannels: 10 },
  { columns: 240, heatColumns: 80, heatChannels: 6 },
  { columns: 160, heatColumns: 60, heatChannels: 3 },
];
/** Spans, calibration and names of one plot. */
const AROUND = 1500;

/** The finest plots that there is room for; none where there are too many for the coarsest. */
export function plotSize({ plots, channels }: { plots: number; channels: number }): PlotSize | undefined {
  return SIZES.find(({ columns, heatColumns, heatChannels }) => {
    const bytes = 2 * columns + heatColumns * Math.min(channels, heatChannels);
    return plots * (AROUND + (bytes * 4) / 3) <= ROOM;
  });
}
