// The one-file agent: `npm run build` bundles this, with all that it imports, as dist/starling-agent.js. The same file is the
// training worker, so that a device needs no second one.
import { isMainThread } from "node:worker_threads";
import { config } from "zod";

// Compiled checks cost about a megabyte, and a device has few messages to check.
config({ jitless: true });

if (isMainThread) {
  const { agentCommand } = await import("./commands/agent.ts");
  const { runCommand } = await import("./program.ts");
  const { realTerminal } = await import("./terminal.ts");
  const spec = { ...agentCommand(new URL(import.meta.url)), name: "agent" };
  const terminal = realTerminal();
  process.exit(await runCommand(spec, { args: process.argv.slice(2), env: process.env, terminal }));
} else {
  await import("../agent/trainer-worker.ts");
}
