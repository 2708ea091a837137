// The one-file agent: `npm run build` bundles this, with all that it imports, as dist/starling-agent.js.
import { inflateRawSync } from "node:zlib";
import { config } from "zod";
import { agentCommand } from "./commands/agent.ts";
import { runCommand } from "./program.ts";
import { realTerminal } from "./terminal.ts";

/**
 * agent/trainer-worker.ts with all that it imports, deflated, base64: scripts/build.mjs puts it here. The training thread could run this whole file, too, but would then
 * hold 1 MB of text and as much of functions that it never calls.
 */
declare const STARLING_TRAINER: string;

// Compiled checks cost about a megabyte, and a device has few messages to check.
config({ jitless: true });

const trainer = () => inflateRawSync(Buffer.from(STARLING_TRAINER, "base64")).toString();
const spec = { ...agentCommand(trainer), name: "agent" };
const terminal = realTerminal();
process.exit(await runCommand(spec, { args: process.argv.slice(2), env: process.env, terminal }));
