import type { Terminal } from "../command.ts";
import type { Job } from "./job.ts";

export interface Progress {
  update(job: Job, done: { readonly part: number; readonly text: string }): void;
  done(job: Job): void;
  close(): void;
}

/** A bar where people look; elsewhere a line on stderr for each finished detector and seed. */
export async function openProgress(
  { stderr }: Terminal,
  { jobs, before }: { readonly jobs: number; readonly before: number },
): Promise<Progress> {
  if (before > 0) stderr.write(`${before} of ${jobs} parts are kept from a run that was stopped\n`);
  if (!stderr.isTTY) {
    let count = before;
    return {
      update() {},
      done: (job) => void stderr.write(`done ${++count} of ${jobs}: ${title(job)}\n`),
      close() {},
    };
  }
  const { Presets, SingleBar } = (await import("cli-progress")).default;
  const bar = new SingleBar(
    {
      stream: stderr,
      format: "{bar} {percentage} %  {text}",
      barsize: 28,
      clearOnComplete: true,
      hideCursor: true,
    },
    Presets.shades_classic,
  );
  let finished = before;
  const open = new Map<Job, number>();
  const show = (text: string) => {
    const parts = [...open.values()].reduce((sum, part) => sum + part, finished);
    bar.update(Math.min(jobs, parts), { text });
  };
  bar.start(jobs, before, { text: "starting" });
  return {
    update(job, { part, text }) {
      open.set(job, part);
      show(`${title(job)}, ${text}`);
    },
    done(job) {
      open.delete(job);
      finished++;
      show(title(job));
    },
    close: () => bar.stop(),
  };
}

function title({ set, seed, work }: Job): string {
  return `${set}, ${work.kind === "detector" ? work.detector.name : "random and always-alarm"}, seed ${seed}`;
}
