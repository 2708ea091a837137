import { createDetector } from "starling/models";
import { pump } from "./pump.ts";

const normal = pump(4000, { seed: 1 }); // rows of numbers; a Series of readSeries does as well
const today = pump(1000, { seed: 2, from: 4000, fault: 0.8 });

const detector = await createDetector("cnn-forecaster", {
  window: 32, // rows of a training window
  epochs: 10,
  seed: 1, // the same seed and rows give the same bits
  alarm: { quantile: 0.999, k: 3, n: 5 },
});
await detector.fit(normal, { names: ["temperature", "pressure", "flow"] });

const { events } = detector.detect(today, { before: normal });
for (const event of events) {
  const [first] = detector.explain(today, event.peak.row, { before: normal });
  console.log(`rows ${event.onset} to ${event.end - 1}: ${first?.name} ${Math.round(100 * first!.share)} %`);
}

const scores = detector.score(today, { before: normal });
const p = detector.probability(today, { before: normal });
console.log(`row 320: score ${scores[320]!.toFixed(1)}, threshold ${detector.threshold.toFixed(1)}`);
console.log(`a normal row scores so high with probability ${p[320]!.toExponential(0)}`);
detector.dispose();
