export { type OpenOptions, openDataSet, openDataSets } from "./data/data-set.ts";
export type { DataSet, DeviceData, DeviceSet } from "./data/device-set.ts";
export * from "./data/folder.ts";
export { type IdxArray, readIdx } from "./data/idx.ts";
export { type ImageFolderOptions, type ImageSet, readImageFolder } from "./data/image-folder.ts";
export * from "./data/inject.ts";
export * from "./data/log-mel.ts";
export * from "./data/nab-windows.ts";
export { type NpyArray, readNpy, writeNpy } from "./data/npy.ts";
export * from "./data/prepare.ts";
export { type PreparedFileOptions, type PreparedSeries, readPrepared } from "./data/prepared-file.ts";
export { decodeSketch, encodeSketch, maxSketchBytes } from "./data/quantile-codec.ts";
export * from "./data/quantile-scaling.ts";
export * from "./data/quantile-sketch.ts";
export { type LabelOptions, type ReadOptions, readLabels, readSeries, SERIES_ENDINGS } from "./data/read.ts";
export * from "./data/resample.ts";
export * from "./data/root-causes.ts";
export * from "./data/scaling.ts";
export { type ColumnSchema, channelsOf, Kinds, Schema, schemaFor } from "./data/schema.ts";
export * from "./data/series.ts";
export { readTable, type Table, type TableOptions } from "./data/table.ts";
export { type Recording, readWav } from "./data/wav.ts";
export * from "./data/windows.ts";
export * from "./detectors/anomaly-detector.ts";
export * from "./detectors/catalog.ts";
export type { DetectedEvent, NamedShare } from "./detectors/detect-events.ts";
export * from "./detectors/detector.ts";
export type { FlatRows, Rows } from "./detectors/detector-rows.ts";
export type { DetectorOptions, DetectorSettings } from "./detectors/detector-settings.ts";
export type { FitReport } from "./detectors/fitted.ts";
export * from "./detectors/fusion.ts";
export type { ModalityRow, ModalityRows } from "./detectors/fusion-rows.ts";
export type { FusionOptions, FusionSettings } from "./detectors/fusion-settings.ts";
export type { FusedChannel, ModalityShare } from "./detectors/fusion-watch.ts";
export * from "./detectors/kind.ts";
export * from "./detectors/open.ts";
export * from "./engine/files/index.ts";
export * from "./engine/index.ts";
export {
  type AlarmMetrics,
  type AlarmSpan,
  alarmMetrics,
  alarmSpans,
  labelledEvents,
  type Span,
} from "./evaluation/alarms.ts";
export * from "./evaluation/arms.ts";
export * from "./evaluation/baselines.ts";
export * from "./evaluation/calibration.ts";
export * from "./evaluation/classes.ts";
export * from "./evaluation/delay.ts";
export * from "./evaluation/evaluate.ts";
export { type FixedMetrics, fixedThresholdMetrics } from "./evaluation/fixed.ts";
export * from "./evaluation/nab.ts";
export * from "./evaluation/nab-alarms.ts";
export * from "./evaluation/range.ts";
export { aucPr, auroc, type Scores } from "./evaluation/ranking.ts";
export * from "./evaluation/results.ts";
export * from "./evaluation/root-cause.ts";
export * from "./evaluation/run.ts";
export type { Scored } from "./evaluation/scored.ts";
export * from "./evaluation/tune.ts";
export * from "./evaluation/vus.ts";
export * from "./scoring/alarm-budget.ts";
export * from "./scoring/alarm-level.ts";
export * from "./scoring/drift.ts";
export * from "./scoring/events.ts";
export * from "./scoring/fusion.ts";
export * from "./scoring/ladder.ts";
export * from "./scoring/level.ts";
export * from "./scoring/recalibration.ts";
export * from "./scoring/residual.ts";
export * from "./scoring/smoothing.ts";
export * from "./scoring/spot.ts";
export * from "./scoring/tail.ts";
export * from "./scoring/threshold.ts";
