// Sensors and thermal pictures of the same machines: each alone, fused late by tail probabilities, and in one network; all three networks are trained by federated
// averaging over the devices. The data is made (stations.ts), so the figures say how the methods differ and not how good they are on yours.
//   node dist/examples/multimodal/main.js [--devices 3] [--rounds 8] [--seed 1]
import { parseArgs } from "node:util";
import { compare, conditions } from "./compare.ts";
import { faults, station } from "./stations.ts";

const { values } = parseArgs({
  options: {
    devices: { type: "string", default: "3" },
    rounds: { type: "string", default: "8" },
    seed: { type: "string", default: "1" },
  },
});
const [devices, rounds, seed] = [values.devices, values.rounds, values.seed].map(Number) as [
  number,
  number,
  number,
];
const stations = Array.from({ length: devices }, (_, device) =>
  station({ device, seed, trainRows: 1500, quietRows: 600, testRows: 1760 }),
);
console.log(`${devices} made devices, ${rounds} rounds of federated averaging, seed ${seed}`);
const lines = await compare({ stations, rounds, seed });
for (const condition of conditions) {
  console.log(`\n${condition}`);
  const columns = ["AUROC", "AUC-PR", ...faults, "false alarms"];
  console.log(["".padEnd(19), ...columns.map((column) => column.padStart(13))].join(""));
  for (const line of lines.filter((one) => one.condition === condition)) {
    const found = faults.map((_, k) => `${line.found[k]} of ${line.events[k]}`);
    const cells = [line.auroc.toFixed(3), line.aucPr.toFixed(3), ...found, String(line.falseAlarms)];
    console.log([line.method.padEnd(19), ...cells.map((cell) => cell.padStart(13))].join(""));
  }
}
console.log("\nFaults found, by what they show in; thresholds were set on normal rows alone.");
