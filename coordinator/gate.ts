import { FleetError } from "../protocol/errors.ts";
import { decodeFrame, type Layout, layoutSize, sameLayout } from "../protocol/frame.ts";
import { transferId } from "../protocol/idempotency.ts";
import type { Offer } from "../protocol/messages.ts";
import type { Plan } from "./round.ts";

/** What an update is measured against. */
export interface GateRules {
  readonly layout: Layout;
  readonly maxSamples: number;
}

/** A weight that moves this far in one round is a broken device's; and the exact sum can't overflow below 2^20 such updates. */
export const maxChange = 2 ** 10;

/** Data is clipped to some standard deviations before it is trained on. Means over samples and devices must stay finite. */
const maxLoss = 1e30;

/** Room for a frame's header beside its weights, bytes. */
const headerRoom = 16 * 1024;

/**
 * The gate before a transfer: may this device send this update at all? Throws FORBIDDEN, STALE_ROUND, STALE_BASE, OVER_WEIGHT or TOO_LARGE.
 * `device` is the connection's.
 */
export function checkOffer(offer: Offer, device: string, round: Plan, rules: GateRules): void {
  const key = {
    device,
    task: offer.task,
    round: offer.round,
    nonce: offer.nonce,
    bootSeq: offer.bootSeq,
    sha256: offer.manifest.sha256,
  };
  if (offer.xfer !== transferId(key)) {
    throw new FleetError("FORBIDDEN", "the transfer's id was not made from this device, round and content");
  }
  if (offer.task !== round.task || offer.round !== round.number || offer.nonce !== round.nonce) {
    throw new FleetError(
      "STALE_ROUND",
      `the update is for round ${offer.round}, the present one is ${round.number}`,
    );
  }
  if (!round.cohort.includes(device))
    throw new FleetError("FORBIDDEN", `the device was not invited to round ${round.number}`);
  if (offer.base !== round.base.sha256) {
    throw new FleetError(
      "STALE_BASE",
      `the update is against another version than round ${round.number} started from`,
    );
  }
  if (offer.samples > rules.maxSamples) {
    throw new FleetError(
      "OVER_WEIGHT",
      `${offer.samples} samples are over the limit of ${rules.maxSamples} for one update`,
    );
  }
  if (Math.max(Math.abs(offer.loss), Math.abs(offer.heldBackLoss)) > maxLoss)
    throw new FleetError("OVER_WEIGHT", "the update claims a loss beyond all reason");
  const maxBytes = layoutSize(rules.layout) * 4 + headerRoom;
  if (offer.manifest.size > maxBytes) {
    throw new FleetError(
      "TOO_LARGE",
      `an update of ${offer.manifest.size} bytes is over the ${maxBytes} that this model can need`,
    );
  }
}

/**
 * The gate before the sum: the weights of an update whose bytes are all here. Throws BAD_MESSAGE, BAD_SHAPE, BAD_HASH, NOT_FINITE,
 * STALE_BASE or OVER_WEIGHT.
 */
export function openUpdate(bytes: Uint8Array, offer: Offer, rules: GateRules): Float32Array {
  const { header, weights } = decodeFrame(bytes);
  if (header.kind !== "update") throw new FleetError("BAD_MESSAGE", "the transfer holds no update");
  if (!sameLayout(header.layout, rules.layout)) {
    throw new FleetError("BAD_SHAPE", "the update's tensors do not have the names and shapes of the model's");
  }
  if (header.base !== offer.base)
    throw new FleetError("STALE_BASE", "the update is against another version than its offer said");
  if (header.samples !== offer.samples)
    throw new FleetError("OVER_WEIGHT", "the update claims other samples than its offer did");
  for (let i = 0; i < weights.length; i++) {
    if (Math.abs(weights[i]!) >= maxChange)
      throw new FleetError("OVER_WEIGHT", "the update changes a weight beyond all reason");
  }
  return weights;
}
