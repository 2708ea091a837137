import { createDetector, createFusion } from "starling/models";
import { pump } from "./pump.ts";

// Two modalities, each with a detector of its own; a microphone's would take frames of its spectrogram.
const [history, sound] = [pump(4000, { seed: 1 }), pump(4000, { seed: 5 })];
const sensors = await createDetector("cnn-forecaster", { epochs: 5, seed: 1 });
await sensors.fit(history, { names: ["temperature", "pressure", "flow"] });
const microphone = await createDetector("mahalanobis", { seed: 1 });
await microphone.fit(sound, { names: ["low", "middle", "high"] });

// Sound comes every second row: its last probability counts for one row more.
const every2 = (rows: number[][]) => rows.map((row, i) => (i % 2 === 0 ? row : null));
const fusion = createFusion({ sensors, microphone }, { rule: "fisher", hold: { microphone: 1 } });
fusion.calibrate({ sensors: history, microphone: every2(sound) });

// Row by row; while the microphone is gone, the sensors go on alone.
const stream = fusion.stream({ before: { sensors: history, microphone: every2(sound) } });
const later = every2(pump(1000, { seed: 6, from: 4000 }));
for (const [row, values] of pump(700, { seed: 2, from: 4000, fault: 0.8 }).entries()) {
  const microphone = row < 200 ? later[row] : null;
  const { alarm, probability, modalities, channels } = stream.push({ sensors: values, microphone });
  if (alarm === "onset")
    console.log(
      `row ${row}: ${modalities[0]?.name}, ${channels[0]?.name} first, p ${probability.toExponential(0)}`,
    );
}
fusion.dispose();
