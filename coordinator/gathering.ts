import { randomBytes } from "node:crypto";
import { checkedSketch, quantileStatistics } from "../models/data/fleet-quantiles.ts";
import { decodeStatistics, mergeStatistics } from "../models/data/statistics.ts";
import { FleetError } from "../protocol/errors.ts";
import type { Statistics } from "../protocol/messages.ts";

/** The gathering of channel statistics before round one; where scaling is by quantiles, then of sketches. */
export interface Gathering {
  /** The fleet's statistics: what is gathered are sketches in their frame. */
  readonly fleet?: Uint8Array | undefined;
  readonly nonce: string;
  readonly asked: readonly string[];
  readonly deadlineMs: number;
  readonly answers: ReadonlyMap<string, Uint8Array>;
}

export function openGathering(asked: readonly string[], deadlineMs: number, fleet?: Uint8Array): Gathering {
  return { fleet, nonce: randomBytes(16).toString("hex"), asked, deadlineMs, answers: new Map() };
}

export interface StatisticsRules {
  readonly channels: number;
  /** No device may count for more rows than it could for samples. */
  readonly maxSamples: number;
}

/** Throws STALE_ROUND, FORBIDDEN, BAD_SHAPE, BAD_MESSAGE, NOT_FINITE or OVER_WEIGHT. The first answer of a device counts. */
export function takeStatistics(
  gathering: Gathering,
  device: string,
  message: Statistics,
  { channels, maxSamples }: StatisticsRules,
): Gathering {
  if (message.nonce !== gathering.nonce)
    throw new FleetError("STALE_ROUND", "these statistics were asked for earlier");
  if (!gathering.asked.includes(device))
    throw new FleetError("FORBIDDEN", "the device was not asked for statistics");
  if (gathering.fleet) checkedSketch(message.values, { fleet: gathering.fleet, maxSamples });
  else checkStatistics(message.values, { channels, maxSamples });
  if (gathering.answers.has(device)) return gathering;
  return { ...gathering, answers: new Map([...gathering.answers, [device, message.values]]) };
}

function checkStatistics(values: Uint8Array, { channels, maxSamples }: StatisticsRules): void {
  const statistics = decodeStatistics(values);
  if (statistics.channels !== channels) {
    throw new FleetError(
      "BAD_SHAPE",
      `the statistics are for ${statistics.channels} channels, the task has ${channels}`,
    );
  }
  if (statistics.count.some((rows) => rows > maxSamples))
    throw new FleetError("OVER_WEIGHT", `the statistics are over more rows than the limit of ${maxSamples}`);
}

export function gatheringIsDone({ answers, asked, deadlineMs }: Gathering, nowMs: number): boolean {
  return answers.size === asked.length || (answers.size > 0 && nowMs >= deadlineMs);
}

/** The statistics of the fleet, in the form that versions carry. */
export function mergeAnswers({ answers, fleet }: Gathering): Uint8Array {
  return fleet ? quantileStatistics(answers.values()) : mergeStatistics(answers);
}
