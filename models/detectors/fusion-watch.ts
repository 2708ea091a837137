import { type AlarmMachine, alarmMachine } from "../scoring/events.ts";
import { type ChannelShare, topChannels } from "../scoring/top-channels.ts";
import type { AnomalyDetector } from "./anomaly-detector.ts";
import type { FusionCalibration } from "./fusion-file.ts";
import { type FusionPass, termPlaces } from "./fusion-pass.ts";
import type { ModalityRow } from "./fusion-rows.ts";
import type { FusionSettings } from "./fusion-settings.ts";

/** A modality's part of a score. */
export interface ModalityShare {
  readonly name: string;
  /** 0..1 */
  readonly share: number;
}

/** A channel of a modality, and its part of the whole score. */
export interface FusedChannel extends ModalityShare {
  readonly modality: string;
}

/** What made an event: by modality, and by place of `FusionPass.channelTerms`. */
export interface Shares {
  readonly modalities: readonly ChannelShare[];
  readonly channels: readonly ChannelShare[];
}

export const NOTHING: Shares = { modalities: [], channels: [] };

/** A pass with the alarm machine behind it: twice the same, so that modalities are ranked apart from their channels. */
export function watchFusion(pass: FusionPass, { threshold }: FusionCalibration, { alarm }: FusionSettings) {
  const { k, n, gap, release } = alarm;
  const rule = { threshold, k, n, gap, release };
  const machine = alarmMachine(rule);
  const channelMachine = alarmMachine(rule);
  const none = new Float32Array(pass.channelTerms().length);
  let row = 0;
  return {
    probabilities: pass.probabilities,
    push(rows: readonly (ModalityRow | undefined)[]) {
      const score = pass.push(rows);
      // Below the release level the machine reads no terms.
      const channels = score > release * threshold ? pass.channelTerms() : none;
      const event = machine.push(row, score, pass.terms);
      const same = channelMachine.push(row, score, channels);
      row++;
      const shares = { modalities: event?.topChannels ?? [], channels: same?.topChannels ?? [] };
      return { score, event: event && { ...event, shares } };
    },
    open() {
      const { open } = machine.state();
      const same = channelMachine.state().open;
      if (!open || !same) return undefined;
      return { ...open, shares: { modalities: topOf(open), channels: topOf(same) } };
    },
  };
}

function topOf({ contributions }: NonNullable<ReturnType<AlarmMachine["state"]>["open"]>) {
  return topChannels(Float64Array.from(contributions));
}

export function describeShares(
  { modalities, channels }: Shares,
  detectors: ReadonlyMap<string, AnomalyDetector>,
): { modalities: ModalityShare[]; channels: FusedChannel[] } {
  const names = [...detectors.keys()];
  const { starts } = termPlaces(detectors);
  return {
    modalities: modalities.map(({ channel, share }) => ({ name: names[channel]!, share })),
    channels: channels.flatMap(({ channel, share }) => {
      const i = starts.findLastIndex((start) => start <= channel);
      const place = channel - starts[i]! - 1;
      // What a modality judged as a whole has no channel.
      return place < 0
        ? []
        : [{ modality: names[i]!, name: detectors.get(names[i]!)!.channels[place]!, share }];
    }),
  };
}
