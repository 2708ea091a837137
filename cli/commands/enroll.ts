import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join as joinPath } from "node:path";
import { z } from "zod";
import { DeviceId } from "../../protocol/ids.ts";
import { formatJoin } from "../../protocol/join.ts";
import { command } from "../command.ts";
import { answer } from "../terminal.ts";
import { json, jsonFlag, stateDir } from "./common.ts";

const Options = z.strictObject({
  devices: z.array(DeviceId).min(1),
  state: stateDir,
  url: z
    .url({ protocol: /^mqtts?$/, error: "a coordinator's url is such as mqtt://10.0.0.5:1883" })
    .optional(),
  out: z.string().min(1, "give the path of a folder").optional(),
  json,
});

export const enrollCommand = command({
  name: "enroll",
  description:
    "Makes a join string for each device: all that its agent needs to connect. It holds the device's secret, so keep it like a password. A device that is enrolled again gets a new secret, and its old one ends.",
  options: Options,
  operands: [
    { path: "devices", name: "DEVICE", description: "ids: a-z, 0-9, _ and -, up to 63", variadic: true },
  ],
  flags: [
    {
      path: "state",
      flag: "--state <dir>",
      description: "the coordinator's state folder; it may be running or not",
    },
    {
      path: "url",
      flag: "--url <url>",
      description: "where the device finds the coordinator (default: where it listened last)",
    },
    {
      path: "out",
      flag: "--out <dir>",
      description: "write DEVICE.join files there, readable only by you, and print no secrets",
    },
    jsonFlag,
  ],
  examples: [
    { command: "starling enroll pump-1 --state ./coordinator", what: "print one join string" },
    {
      command: "starling enroll pump-1 pump-2 --state ./coordinator --out .",
      what: "write pump-1.join, ...",
    },
    {
      command: "starling enroll pump-1 --state ./coordinator --url mqtt://10.0.0.5:1883",
      what: "for a device elsewhere in the network",
    },
  ],
  async run({ devices, state, url, out, json: asJson }, terminal) {
    const { enrollDevice } = await import("../../coordinator/index.ts");
    const enrolled: { device: string; url: string; join?: string; file?: string }[] = [];
    if (out !== undefined) await mkdir(out, { recursive: true });
    for (const device of devices) {
      const join = await enrollDevice({ stateDir: state, device, ...(url !== undefined && { url }) });
      const text = formatJoin(join);
      if (out === undefined) {
        enrolled.push({ device, url: join.url, join: text });
        continue;
      }
      const file = joinPath(out, `${device}.join`);
      await writeFile(file, `${text}\n`, { mode: 0o600 });
      // An older file keeps its own mode through writeFile.
      await chmod(file, 0o600);
      enrolled.push({ device, url: join.url, file });
    }
    answer(terminal, asJson, {
      value: { enrolled },
      text: () => enrolled.map(({ device, join, file }) => `${device}  ${join ?? file}`).join("\n"),
    });
    return undefined;
  },
});
