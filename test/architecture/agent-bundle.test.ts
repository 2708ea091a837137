import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { inflateRawSync } from "node:zlib";
import { expect, it } from "vitest";

const agent = readFileSync(fileURLToPath(new URL("../../dist/starling-agent.js", import.meta.url)), "utf8");
/** The one long text in base64 that begins as a deflated script. */
const trainer = inflateRawSync(
  Buffer.from(/inflateRawSync[^(]*\(Buffer\.from\("([\w+/=]+)"/.exec(agent)?.[1] ?? "", "base64"),
).toString();

it("the one-file agent formats and compares nothing by locale, which would load 5 MB of tables into each", () => {
  for (const script of [agent, trainer]) expect(script.match(/\btoLocale\w*\(|\bIntl\./g)).toBeNull();
});

it("its training thread has the detectors, and nothing of the network or the command line", () => {
  expect(trainer).toMatch(/cnn-forecaster/);
  expect(trainer).not.toMatch(/mqtt|commander/);
  expect(trainer.length).toBeLessThan(agent.length / 2);
});
