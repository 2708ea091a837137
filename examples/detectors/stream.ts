import { readFile, rm, writeFile } from "node:fs/promises";
import { createDetector, loadDetector } from "starling/models";
import { pump } from "./pump.ts";

// Where there is data: learn, and keep all of it in one file.
const history = pump(4000, { seed: 1 });
const names = ["temperature", "pressure", "flow"];
const learned = await createDetector("gru-forecaster", { epochs: 5, seed: 1 });
await learned.fit(history, { names });
await writeFile("pump.detector", learned.save());
learned.dispose();

// Where rows come one by one: the same scores as in one piece.
const detector = await loadDetector(await readFile("pump.detector"));
const stream = detector.stream({ before: history });
for (const [row, values] of pump(1000, { seed: 2, from: 4000, fault: 0.8 }).entries()) {
  const { alarm, score, channels } = stream.push(values);
  if (alarm === "onset")
    console.log(`row ${row}: alarm, score ${score.toFixed(1)}, ${channels[0]?.name} first`);
  if (alarm === "end") console.log(`row ${row}: over`);
}

// Later: go on learning from newer normal rows; threshold and usual sizes are set anew.
await detector.partialFit(pump(2000, { seed: 3, from: 5000 }));
await writeFile("pump.detector", detector.save());
detector.dispose();
await rm("pump.detector");
