import { z } from "zod";
import { AlertView, DeviceView, RoundView, TaskView, VersionView } from "../protocol/api.ts";
import { firstIssue } from "../protocol/codec.ts";
import { FleetError } from "../protocol/errors.ts";

/** The read-only HTTP interface of a coordinator, as the command line uses it. */
export interface Api {
  task(): Promise<TaskView>;
  fleet(): Promise<DeviceView[]>;
  /** Newest first, at most `limit`. */
  rounds(limit: number): Promise<RoundView[]>;
  round(number: number): Promise<RoundView>;
  versions(limit: number): Promise<VersionView[]>;
  alerts(limit: number): Promise<AlertView[]>;
}

/** One page of the HTTP interface. */
export const pageLimit = 500;
const timeoutMs = 10_000;

/** Throws TIMEOUT where nothing answers at `url`, BAD_MESSAGE where what answers is no coordinator. */
export function connectApi(url: string): Api {
  const get = async <S extends z.ZodType>(path: string, schema: S): Promise<z.output<S>> => {
    const address = new URL(path, url);
    let response: Response;
    try {
      response = await fetch(address, { signal: AbortSignal.timeout(timeoutMs) });
    } catch (cause) {
      throw new FleetError("TIMEOUT", `no coordinator answers at ${url}: start it, or give its --url`, {
        cause,
      });
    }
    if (!response.ok)
      throw new FleetError("BAD_MESSAGE", `${address} answered ${response.status}: is it a coordinator?`);
    const body: unknown = await response.json().catch(() => undefined);
    const parsed = schema.safeParse(body);
    if (!parsed.success)
      throw new FleetError(
        "BAD_MESSAGE",
        `${address} did not answer as a coordinator does (${firstIssue(parsed.error)})`,
      );
    return parsed.data;
  };
  /** Pages go back in time: each asks for what is older than the last entry of the one before. */
  const paged = async <S extends z.ZodType>(
    path: string,
    { entry, keyOf, limit }: { entry: S; keyOf: (value: z.output<S>) => number; limit: number },
  ): Promise<z.output<S>[]> => {
    const all: z.output<S>[] = [];
    while (all.length < limit) {
      const last = all.at(-1);
      const before = last === undefined ? "" : `&before=${keyOf(last)}`;
      const size = Math.min(pageLimit, limit - all.length);
      const page = await get(`${path}?limit=${size}${before}`, z.array(entry));
      all.push(...page);
      if (page.length < size) break;
    }
    return all;
  };
  return {
    task: () => get("api/v1/task", TaskView),
    fleet: () => get("api/v1/fleet", z.array(DeviceView)),
    rounds: (limit) => paged("api/v1/rounds", { entry: RoundView, keyOf: ({ round }) => round, limit }),
    round: (number) => get(`api/v1/rounds/${number}`, RoundView),
    versions: (limit) =>
      paged("api/v1/versions", { entry: VersionView, keyOf: ({ number }) => number, limit }),
    alerts: (limit) => paged("api/v1/alerts", { entry: AlertView, keyOf: ({ seq }) => seq, limit }),
  };
}
