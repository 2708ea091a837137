import { join } from "node:path";
import { expect, test } from "vitest";
import { readFolder } from "../../../models/data/folder.ts";
import { readLabels } from "../../../models/data/read.ts";
import { parseRootCauses, readRootCauses } from "../../../models/data/root-causes.ts";
import { SHARED_DATA } from "./shared-data.ts";

test("root causes - a line is an event: rows from 0, its end just past it, channels from 1", () => {
  expect(parseRootCauses("246-252:1,2,38\n\n3534-3535:3\r\n", "f.txt")).toEqual([
    { from: 246, to: 252, channels: [0, 1, 37] },
    { from: 3534, to: 3535, channels: [2] },
  ]);
  expect(parseRootCauses("1-2:5,3,5", "f.txt")[0]!.channels).toEqual([2, 4]);
});

test("root causes - a line that says something else is refused with its number", () => {
  const refused = (text: string) => expect(() => parseRootCauses(text, "f.txt"));
  refused("1-2:3\n4-5").toThrow(`f.txt: line 2 is not "from-to:channel,channel,..."; correct it`);
  refused("1-2:").toThrow(/line 1 is not/);
  refused("5-5:1").toThrow("f.txt: line 1 ends at row 5, not after its start 5; correct it");
  refused("1-2:0,3").toThrow("f.txt: line 1 names channel 0; channels count from 1");
});

test.skipIf(!SHARED_DATA)(
  "root causes - SMD's events are just the anomalous rows of its labels",
  async () => {
    const folder = join(SHARED_DATA!, "smd");
    let events = 0;
    for (const { device, label } of await readFolder(folder)) {
      const labels = await readLabels(label!);
      const causes = await readRootCauses(join(folder, `${device}_interpretation.txt`));
      const covered = new Uint8Array(labels.length);
      for (const { from, to } of causes) covered.fill(1, from, to);
      expect([device, Buffer.compare(covered, labels)]).toEqual([device, 0]);
      events += causes.length;
    }
    expect(events).toBe(124);
  },
);
