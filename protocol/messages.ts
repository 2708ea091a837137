import { z } from "zod";
import { bin } from "./codec.ts";
import { ChannelKinds, ChannelNames } from "./device-channels.ts";
import { DeviceId, Sha256, TaskId, TransferId } from "./ids.ts";
import { limits } from "./limits.ts";
import { SignedManifest } from "./manifest.ts";
import { RoundTraining, TaskSpec } from "./task.ts";
import { TransferManifest } from "./transfer.ts";

const count = z.int().nonnegative();
const finite = z.number();
/** What a Date can be: whoever shows it must not fail. */
const timeMs = z.number().min(-8.64e15).max(8.64e15);
const text = (max: number) => z.string().max(max);
/** Grows by one at every start of an agent, kept in its state folder: tells a late death from a present one. */
const bootSeq = z.int().positive();
/** Drawn by the coordinator for each round: an update that does not carry it was not made for this round. */
const nonce = z.string().regex(/^[0-9a-f]{32}$/, "a nonce is 32 hexadecimal digits");

/** Which global model a device runs. */
export const Running = z.object({ number: z.int().positive(), sha256: Sha256 });
export type Running = z.infer<typeof Running>;

// ---- up/state: retained; the last will is the same topic with the same bootSeq ----

export const Birth = z.object({
  kind: z.literal("birth"),
  bootSeq,
  /** Version of the agent program. */
  agent: text(32),
  channels: z.int().positive().max(limits.channels),
  /** Channel names, joined by line feeds: a list of 512 would be over the limit of array entries. */
  channelNames: ChannelNames.optional(),
  /** A letter a channel, where columns of several kinds are prepared; then the names are there, too. */
  channelKinds: ChannelKinds.exactOptional(),
  /** Rows per second of the source, where it is known. */
  rateHz: z.number().positive().optional(),
  running: Running.nullable(),
  /** Largest chunk that the device takes, bytes. */
  chunkBytes: z.int().positive().max(limits.chunkBytes),
});
export type Birth = z.infer<typeof Birth>;

export const Death = z.object({ kind: z.literal("death"), bootSeq, reason: z.enum(["lost", "shutdown"]) });
export type Death = z.infer<typeof Death>;

export const StateMessage = z.discriminatedUnion("kind", [Birth, Death]);
export type StateMessage = z.infer<typeof StateMessage>;

// ---- up/hb: QoS 0 ----

/** What a threshold stands on: see models/scoring/alarm-level.ts. */
export const levelBases = ["rule", "counted", "extrapolated", "highest", "fallback"] as const;
/** Live scores against those of the calibration: see models/scoring/drift.ts. */
export const driftStates = ["stable", "drifting", "retrain-due"] as const;

/** What a device can score with: the fleet's model as it is, trained on by the device, or one of the device alone. */
export const personalModels = ["fleet", "tuned", "own"] as const;
export type PersonalModel = (typeof personalModels)[number];

/**
 * Losses on the device's held-back data, by which it chose: negative log-likelihoods per channel but for a constant, models/detectors/detector.ts `misfit`. null:
 * there is no such model here, or it diverged.
 */
export const PersonalLosses = z.object({
  fleet: finite.nullable(),
  tuned: finite.nullable(),
  own: finite.nullable(),
});
export type PersonalLosses = z.infer<typeof PersonalLosses>;

/** How a channel's raw values may differ from those of training for long: models/scoring/channel-range.ts. */
export const oddChannelStates = ["silent", "another-unit", "far", "wide"] as const;
/** Of more channels at once, the first ones are named. */
export const MOST_ODD_CHANNELS = 16;

export const OddChannel = z.object({
  /** 0-based, with the channel's name where the source has names. */
  channel: z.int().nonnegative(),
  name: text(64).exactOptional(),
  state: z.enum(oddChannelStates),
  /** The same for people, after the channel's name. */
  what: text(100),
});
export type OddChannel = z.infer<typeof OddChannel>;

export const Heartbeat = z.object({
  kind: z.literal("heartbeat"),
  bootSeq,
  uptimeMs: count,
  rssBytes: count,
  peakRssBytes: count,
  cpuMs: count,
  /** Rows read, and rows scored, since the first start of this state folder. */
  rows: count,
  scored: count,
  running: Running.nullable(),
  activity: z.enum(["idle", "training", "sending", "installing"]),
  /** The source has ended: a replayed file was read to its last row and scored. */
  sourceEnded: z.boolean(),
  spooledAlerts: count,
  /** Scores since the last heartbeat. */
  scores: z.object({ count, mean: finite, max: finite, threshold: finite }).nullable(),
  /** The alarm level, while a version is installed. */
  level: z
    .object({
      threshold: finite,
      /** As it was when the version was installed, and how often the agent has fitted it again by itself since. */
      installed: finite,
      basis: z.enum(levelBases),
      recalibrations: count,
      /** The last time, it would have gone further than it may. */
      limited: z.boolean(),
    })
    .nullable()
    .exactOptional(),
  /** Index: the population stability index. */
  drift: z
    .object({ state: z.enum(driftStates), index: finite })
    .nullable()
    .exactOptional(),
  /** Channels whose sensor, unit or wiring a person should look at. */
  oddChannels: z.array(OddChannel).max(MOST_ODD_CHANNELS).exactOptional(),
  /** Which model scores, in a task with personal models; null while it is not settled. */
  personal: z
    .object({
      model: z.enum(personalModels),
      /** null: there was nothing to compare. */
      losses: PersonalLosses.nullable(),
      /** Why the device could not make one of its own. */
      problem: text(200).exactOptional(),
    })
    .nullable()
    .exactOptional(),
});
export type Heartbeat = z.infer<typeof Heartbeat>;

// ---- up/event: QoS 1, spooled on disk until dn/ack names it ----

export const AlertChannel = z.object({
  /** 0-based, with the channel's name where the source has names. */
  channel: z.int().nonnegative(),
  name: text(64).optional(),
  /** Its part of the score, 0..1. */
  share: z.number().min(0).max(1),
});
export type AlertChannel = z.infer<typeof AlertChannel>;
export const Alert = z.object({
  kind: z.literal("alert"),
  /** Made from the sample that caused it, so that a restarted agent that reads the row again sends the same id. */
  id: z.string().regex(/^[0-9a-f]{16}$/),
  phase: z.enum(["onset", "end"]),
  /** Id of the onset, in the onset itself and in its end. */
  event: z.string().regex(/^[0-9a-f]{16}$/),
  row: count,
  /** The sample's own time, milliseconds since 1970. */
  atMs: timeMs,
  score: finite,
  /** How often a normal score is as high as `score`, in an end as `peak`: from the calibration's data. */
  probability: z.number().min(0).max(1).optional(),
  threshold: finite,
  version: Running,
  /** What the device has made of that version, where it is not the version itself that scored. */
  model: z.enum(personalModels).exactOptional(),
  /** The channels that made the most of the score: in an onset up to then, in an end over the whole alarm. */
  channels: z.array(AlertChannel).max(8),
  /** The first row above the threshold that led to the alarm. */
  since: count.optional(),
  /** In an end only: the last row that belonged to the alarm, the rows from `since` to it, the highest score among them and its row. */
  until: count.optional(),
  durationRows: count.optional(),
  peak: finite.optional(),
  peakRow: count.optional(),
  /** In an end only: the ranking of root causes, the channels' shares over the alarm's first rows. */
  causes: z.array(AlertChannel).max(8).optional(),
});
export type Alert = z.infer<typeof Alert>;

// ---- up/req: QoS 1 ----

/** Announces an update; the coordinator answers with what it already has of it. */
export const Offer = z.object({
  kind: z.literal("offer"),
  xfer: TransferId,
  task: TaskId,
  round: z.int().positive(),
  nonce,
  bootSeq,
  /** Version that the delta is against. */
  base: Sha256,
  samples: z.int().positive(),
  /**
   * Mean loss of the last local epoch, in a round of pretraining of the pretext; and of the base model on held-back data before training, always of what the
   * detector is for.
   */
  loss: finite,
  heldBackLoss: finite,
  trainMs: count,
  manifest: TransferManifest,
});
export type Offer = z.infer<typeof Offer>;

export const Pull = z.object({
  kind: z.literal("pull"),
  task: TaskId,
  sha256: Sha256,
  indexes: z.array(z.int().nonnegative().max(limits.chunks)).min(1).max(limits.window),
});
export type Pull = z.infer<typeof Pull>;

export const Status = z.object({
  kind: z.literal("status"),
  task: TaskId,
  state: z.enum(["installed", "failed"]),
  version: Running,
  code: text(32).optional(),
  message: text(512).optional(),
});
export type Status = z.infer<typeof Status>;

/** Answer to an invitation: training has begun ... */
export const Accept = z.object({ kind: z.literal("accept"), task: TaskId, round: z.int().positive(), nonce });
export type Accept = z.infer<typeof Accept>;
/** ... or will not, and why. */
export const Decline = z.object({
  kind: z.literal("decline"),
  task: TaskId,
  round: z.int().positive(),
  nonce,
  code: text(32),
  message: text(512),
});
export type Decline = z.infer<typeof Decline>;

/** Count, mean and M2 of every channel of the local training data, in the layout of models/data/statistics; or a sketch, in that of models/data/quantile-codec. */
export const Statistics = z.object({
  kind: z.literal("statistics"),
  task: TaskId,
  nonce,
  values: bin(limits.statisticsBytes),
});
export type Statistics = z.infer<typeof Statistics>;

export const Request = z.discriminatedUnion("kind", [Offer, Pull, Status, Accept, Decline, Statistics]);
export type Request = z.infer<typeof Request>;

// ---- up/upd/{xfer} and dn/chunk: QoS 1 ----

export const Chunk = z.object({
  index: z.int().nonnegative().max(limits.chunks),
  data: bin(limits.chunkBytes),
});
export type Chunk = z.infer<typeof Chunk>;

export const ModelChunk = Chunk.extend({ sha256: Sha256 });
export type ModelChunk = z.infer<typeof ModelChunk>;

// ---- dn/ack: QoS 1, sent when the thing is durably stored ----

export const TransferAck = z.object({
  kind: z.literal("transfer"),
  xfer: TransferId,
  /** `open`: send what is missing in `have`. The other two end the transfer. */
  state: z.enum(["open", "stored", "refused"]),
  /** One bit a chunk, least significant bit first. */
  have: bin(limits.chunks / 8),
  code: text(32).optional(),
  message: text(512).optional(),
});
export type TransferAck = z.infer<typeof TransferAck>;

export const AlertAck = z.object({ kind: z.literal("alerts"), ids: z.array(text(16)).max(limits.items) });
export type AlertAck = z.infer<typeof AlertAck>;

export const Ack = z.discriminatedUnion("kind", [TransferAck, AlertAck]);
export type Ack = z.infer<typeof Ack>;

// ---- dn/want: QoS 1, retained: the desired state, whole, every time ----

export const Want = z.object({
  kind: z.literal("want"),
  device: DeviceId,
  task: TaskSpec,
  /** The version to run, or null while there is none yet. */
  version: SignedManifest.nullable(),
  /** `serving` once the task's scheduled rounds are over. */
  phase: z.enum(["training", "serving"]),
  /** Why the device can't take part, for its log. */
  problem: text(512).exactOptional(),
});
export type Want = z.infer<typeof Want>;

// ---- dn/cmd: QoS 1, not retained: the coordinator sends it again to a device that comes back ----

export const Invite = z.object({
  kind: z.literal("invite"),
  task: TaskId,
  round: z.int().positive(),
  nonce,
  base: Sha256,
  /** From the moment it is received: clocks of devices are not trusted. */
  deadlineMs: z.int().positive(),
  training: RoundTraining,
  seed: z.int().nonnegative(),
});
export type Invite = z.infer<typeof Invite>;

export const Cancel = z.object({
  kind: z.literal("cancel"),
  task: TaskId,
  round: z.int().positive(),
  nonce,
  message: text(512),
});
export type Cancel = z.infer<typeof Cancel>;

/** Asks for the statistics of the local training data, before round one; with the fleet's, for a quantile sketch in their frame. */
export const AskStatistics = z.object({
  kind: z.literal("ask-statistics"),
  task: TaskId,
  nonce,
  fleet: bin(limits.statisticsBytes).exactOptional(),
});
export type AskStatistics = z.infer<typeof AskStatistics>;

export const Command = z.discriminatedUnion("kind", [Invite, Cancel, AskStatistics]);
export type Command = z.infer<typeof Command>;
