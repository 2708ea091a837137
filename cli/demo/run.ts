import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkFleetSpec } from "../../models/detectors/catalog.ts";
import { FleetError } from "../../protocol/errors.ts";
import { connectApi } from "../api.ts";
import type { Terminal } from "../command.ts";
import { exitCodes } from "../program.ts";
import { childGroup } from "./children.ts";
import { follow } from "./follow.ts";
import type { DemoOptions } from "./options.ts";
import { gatherFacts, gatherMetrics } from "./outcome.ts";
import { emptyNodeRssMb } from "./peak-rss.ts";
import { makePlan, type Plan } from "./plan.ts";
import { detectorOf, type Site, startAgentProcesses, startCoordinatorProcess } from "./processes.ts";
import { finished, showProgress } from "./progress.ts";
import { type DemoResult, metricsTable, personalTable, processTable } from "./report.ts";
import { alertLine, lateLine, openScreen, roundLine } from "./screen.ts";

/** Runs a fleet on this machine, from an empty folder to a table. The exit code is 0 only where every device finished. */
export async function runDemo(options: DemoOptions, terminal: Terminal): Promise<number> {
  const startedMs = Date.now();
  const folder = await mkdtemp(join(tmpdir(), "starling-demo-"));
  const children = childGroup();
  const interrupted = interruption();
  const opened: { close(): void }[] = [];
  let outcome: number | "interrupted";
  try {
    const run = demo({ options, terminal, folder, children, opened, startedMs });
    outcome = await Promise.race([run, interrupted.signal, deadline(options.timeoutMs)]);
  } finally {
    for (const one of opened) one.close();
    await children.stopAll();
    interrupted.forget();
    if (options.keep) terminal.stderr.write(`The state folder is kept: ${folder}\n`);
    else await rm(folder, { recursive: true, force: true });
  }
  if (outcome !== "interrupted") return outcome;
  terminal.stderr.write("starling: interrupted; every process is stopped\n");
  return exitCodes.failed;
}

interface Stage extends Site {
  readonly terminal: Terminal;
  /** Closed in any case, also where the demo itself is not heard of any more. */
  readonly opened: { close(): void }[];
  readonly startedMs: number;
}

async function demo(stage: Stage): Promise<number> {
  const { options, terminal, folder, children, opened, startedMs } = stage;
  await checkFleetSpec(await detectorOf(options));
  const plan = await makePlan({ ...options, folder: join(folder, "data") });
  const count = plan.devices.length;
  const screen = await openScreen(
    { ...terminal, colors: terminal.colors && !options.headless },
    { bar: terminal.stderr.isTTY === true && !options.headless, total: options.rounds + count },
  );
  opened.push(screen);
  screen.line(`${screen.paint("bold", plan.title)}: ${count} devices, ${options.rounds} rounds`);
  const { coordinator, ready } = await startCoordinatorProcess(stage, count);
  screen.line(`coordinator  ${ready.mqtt}  ${ready.http}`);

  const api = connectApi(ready.http);
  const thresholds = new Map<string, number>();
  const following = follow({
    url: ready.http,
    api,
    listener: {
      round: (view, before) => {
        const done = view.phase === "closed" || view.phase === "aborted";
        if (done && before?.phase !== view.phase) screen.line(roundLine(view, options.rounds, screen.paint));
        if (before?.phase !== view.phase) return;
        for (const device of view.late.slice(before.late.length))
          screen.line(lateLine(view, device, screen.paint));
      },
      alert: (view) => screen.line(alertLine(view, screen.paint)),
      changed: (fleet) => {
        for (const { device, heartbeat } of fleet.devices.values())
          if (heartbeat?.scores)
            thresholds.set(device, heartbeat.level?.installed ?? heartbeat.scores.threshold);
        showProgress(screen, fleet, plan);
      },
    },
  });
  opened.push(following);
  const agents = await startAgentProcesses(stage, plan);
  await Promise.race([following.until((fleet) => finished(fleet, plan)), children.failed]);

  const facts = await gatherFacts({ api, fleet: following.fleet, plan, agents, coordinator });
  following.close();
  await children.stopAll();
  const result: DemoResult = {
    ...facts,
    emptyNodeRssMb: (await emptyNodeRssMb()) ?? null,
    metrics: await gatherMetrics(plan, { folder, thresholds, seed: options.seed }),
    wallMs: Date.now() - startedMs,
  };
  screen.close();
  showResult(result, { terminal, plan, json: options.json });
  return result.installed.length === count ? exitCodes.done : exitCodes.failed;
}

function showResult(
  result: DemoResult,
  { terminal, plan, json }: { terminal: Terminal; plan: Plan; json: boolean },
): void {
  const { metrics, installed, version, alerts, wallMs } = result;
  const text = [
    "",
    metrics === null
      ? "The data has no labels, so nothing can be said of its alarms' worth."
      : `${metricsTable(metrics)}\n\nThresholds were fixed before the test data; "random" is what guessing gets on the same labels.`,
    ...(result.personal.length === 0
      ? []
      : [
          "",
          personalTable(result.personal),
          "",
          "The model with the lowest loss on a device's held-back data scores: the fleet's, the fleet's tuned by the device, or its own.",
        ]),
    "",
    processTable(result),
    "",
    `${installed.length} of ${plan.devices.length} devices run version ${version?.number ?? "-"} (${version?.sha256.slice(0, 12) ?? "none"}); ${alerts.count} alerts; ${(wallMs / 1000).toFixed(1)} s`,
    "",
  ].join("\n");
  // With --json stdout is for the machine alone; people still see the table.
  (json ? terminal.stderr : terminal.stdout).write(text);
  if (json) terminal.stdout.write(`${JSON.stringify(result)}\n`);
}

/** The first signal ends the demo in order, the second at once. */
function interruption(): { signal: Promise<"interrupted">; forget(): void } {
  const names = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  let seen = false;
  let tell: (value: "interrupted") => void = () => {};
  const signal = new Promise<"interrupted">((resolve) => {
    tell = resolve;
  });
  const onSignal = () => {
    // childGroup kills what is left when the process exits.
    if (seen) process.exit(exitCodes.failed);
    seen = true;
    tell("interrupted");
  };
  for (const name of names) process.on(name, onSignal);
  return {
    signal,
    forget: () => {
      for (const name of names) process.off(name, onSignal);
    },
  };
}

function deadline(timeoutMs: number): Promise<never> {
  return new Promise((_, reject) => {
    setTimeout(() => {
      reject(
        new FleetError(
          "TIMEOUT",
          `the demo was not done after ${timeoutMs / 1000} s: give it a longer --timeout, or keep its logs with --keep and see what it waits for`,
        ),
      );
    }, timeoutMs).unref();
  });
}
