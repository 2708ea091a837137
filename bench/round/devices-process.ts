// Many devices in one process that do everything on the wire and nothing else: they fetch every version, and answer an invitation at
// once with an update that nobody trained. argv: Options as JSON. Ends on SIGTERM and with its parent.
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { createRandom } from "../../models/engine/random.ts";
import { Join } from "../../protocol/join.ts";
import { connectLightDevice } from "./light-device.ts";
import { firstVersion } from "./workload.ts";

const Options = z.object({ joinsFile: z.string() });
export type DevicesProcessOptions = z.input<typeof Options>;

/** Connections that are opened side by side. */
const batch = 32;
/** Size of a change after a round or two, roughly. */
const changeSize = 1e-2;

const { joinsFile } = Options.parse(JSON.parse(process.argv[2] ?? "{}"));
const joins = z.array(Join).parse(JSON.parse(await readFile(joinsFile, "utf8")));
const { header, weights } = await firstVersion();
const random = createRandom(1);
const delta = weights.map(() => random.normal() * changeSize);

process.once("SIGTERM", () => process.exit(0));
process.stdin.once("end", () => process.exit(0)).resume();
for (let from = 0; from < joins.length; from += batch) {
  const some = joins.slice(from, from + batch);
  await Promise.all(
    // Other samples make another frame, so that no two updates are the same file to the coordinator.
    some.map((join, i) => connectLightDevice(join, { layout: header.layout, delta, samples: from + i + 1 })),
  );
}
process.stdout.write(`${JSON.stringify({ ready: true })}\n`);
