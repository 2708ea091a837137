import type { RoundView } from "../protocol/api.ts";
import type { Journal } from "./journal.ts";
import { isOver, type Round } from "./round.ts";
import { readFinished, streams, viewRound } from "./round-record.ts";
import type { Page } from "./view.ts";

/** Rounds as they are shown: the present one from memory, the finished ones from the journal. */
export interface History {
  rounds(page: Page): Promise<readonly RoundView[]>;
  round(number: number): Promise<RoundView | undefined>;
}

export function openHistory(journal: Journal, task: string, present: () => Round | undefined): History {
  const stream = streams.finished(task);
  const open = () => {
    const round = present();
    return round === undefined || isOver(round) ? undefined : viewRound(round);
  };
  return {
    async rounds({ limit, before }) {
      const now = open();
      const first = now !== undefined && (before === undefined || now.round < before) ? [now] : [];
      const end = before === undefined ? undefined : await journal.find(stream, String(before));
      const older = end === undefined ? {} : { beforeSeq: end.seq };
      const entries = await journal.read(stream, {
        newestFirst: true,
        limit: limit - first.length,
        ...older,
      });
      return [...first, ...(await Promise.all(entries.map((entry) => readFinished(journal, task, entry))))];
    },
    async round(number) {
      const now = open();
      if (now?.round === number) return now;
      const entry = await journal.find(stream, String(number));
      return entry === undefined ? undefined : readFinished(journal, task, entry);
    },
  };
}
