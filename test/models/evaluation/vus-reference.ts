import { labelledEvents } from "../../../models/evaluation/alarms.ts";

/** Volume under the surface as its definition reads: every window, every threshold, every row. Scores without NaN. */
export function plainVolumes(scores: Float64Array, labels: Uint8Array, window: number) {
  const rows = scores.length;
  const events = labelledEvents(labels);
  const P = labels.reduce((a, b) => a + b, 0);
  const descending = [...scores].sort((a, b) => b - a);
  const thresholds = Array.from({ length: 250 }, (_, k) => {
    return descending[k === 249 ? rows - 1 : Math.floor(k * ((rows - 1) / 249))]!;
  });
  let roc = 0;
  let pr = 0;
  for (let w = 0; w <= window; w++) {
    const half = Math.floor(w / 2);
    // A row's weight: 1 inside an event, else the sum over the events near it, at most 1.
    const weights = Array.from(labels, (label, row) => {
      if (label === 1) return 1;
      const near = events
        .map(({ from, to }) => (row < from ? from - row : row - to + 1))
        .filter((d) => d <= half);
      return Math.min(
        1,
        near.map((d) => Math.sqrt(1 - d / w)).reduce((a, b) => a + b, 0),
      );
    });
    // Events whose buffers share a row are one range.
    const ranges: { first: number; last: number }[] = [];
    for (const { from, to } of events) {
      const before = ranges.at(-1);
      if (before && before.last >= from - half) before.last = to - 1 + half;
      else ranges.push({ first: from - half, last: to - 1 + half });
    }
    const curve: { tpr: number; fpr: number; precision: number }[] = [{ tpr: 0, fpr: 0, precision: 1 }];
    for (const threshold of thresholds) {
      const alarmed = (row: number) => scores[row]! >= threshold;
      let [TP, B, alarms] = [0, 0, 0];
      for (let row = 0; row < rows; row++) {
        if (!alarmed(row)) continue;
        alarms++;
        TP += weights[row]!;
        if (labels[row] === 0) B += weights[row]!;
      }
      const met = ranges.filter(({ first, last }) =>
        scores.some((_, row) => row >= first && row <= last && alarmed(row)),
      );
      const tpr = Math.min(TP / (P + B / 2), 1) * (met.length / ranges.length);
      curve.push({ tpr, fpr: (alarms - TP) / (rows - P - B / 2), precision: TP / alarms });
    }
    for (let k = 1; k < curve.length; k++) {
      pr += (curve[k]!.tpr - curve[k - 1]!.tpr) * curve[k]!.precision;
    }
    curve.push({ tpr: 1, fpr: 1, precision: 0 });
    for (let k = 1; k < curve.length; k++) {
      roc += ((curve[k]!.fpr - curve[k - 1]!.fpr) * (curve[k]!.tpr + curve[k - 1]!.tpr)) / 2;
    }
  }
  return { vusRoc: roc / (window + 1), vusPr: pr / (window + 1) };
}
