import { aucPr, createDetector, type DetectorName } from "starling/models";
import { pump } from "./pump.ts";

const normal = pump(4000, { seed: 1 });
const test = pump(1000, { seed: 2, from: 4000, fault: 0.8 });
const labels = Uint8Array.from(test, (_, row) => (row >= 300 && row < 340 ? 1 : 0));

const names: DetectorName[] = ["var", "mahalanobis", "cnn-forecaster"];
for (const name of names) {
  const detector = await createDetector(name, { epochs: 5, seed: 1 });
  await detector.fit(normal);
  const score = detector.score(test, { before: normal });
  console.log(`${name}: AUC-PR ${aucPr(score, labels).toFixed(2)}`);
  detector.dispose();
}
