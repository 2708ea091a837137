import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRandom } from "../../models/engine/random.ts";
import { FleetError } from "../../protocol/errors.ts";
import { limits } from "../../protocol/limits.ts";
import {
  assemble,
  chunkCount,
  describe as describeBytes,
  slice,
  TransferManifest,
} from "../../protocol/transfer.ts";
import { openWindow, stepWindow, windowDone } from "../../protocol/window.ts";

const timing = { size: 8, timeoutMs: 100, maxTimeoutMs: 1000 };

/** A network that loses, duplicates and reorders what the sender's window lets out, by a seeded choice. */
function transfer(bytes: Uint8Array, chunkBytes: number, random: () => number, loss: number) {
  const manifest = describeBytes(bytes, chunkBytes);
  const assembly = assemble(manifest);
  const count = chunkCount(manifest);
  let window = openWindow({ count, ...timing });
  let nowMs = 0;
  let steps = 0;
  let most = 0;
  const wire: number[] = [];
  let send: readonly number[] = [];
  const drive = (event: Parameters<typeof stepWindow>[1]) => {
    ({ window, send } = stepWindow(window, event, nowMs));
    most = Math.max(most, window.inFlight.size);
    for (const index of send) {
      if (random() < loss) continue;
      wire.push(index);
      if (random() < 0.2) wire.push(index);
    }
  };
  drive({ kind: "tick" });
  while (!windowDone(window)) {
    if (++steps > 20_000) throw new Error("the transfer does not end");
    if (wire.length === 0) {
      nowMs += 50;
      drive({ kind: random() < 0.05 ? "reconnected" : "tick" });
      continue;
    }
    const [index] = wire.splice(Math.floor(random() * wire.length), 1);
    assembly.add(index!, slice(bytes, chunkBytes, index!));
    // The ack is lost as easily as the chunk.
    if (random() >= loss) drive({ kind: "have", have: assembly.have.slice() });
  }
  return { assembly, most };
}

describe("transfer", () => {
  it("any loss, duplication and reordering of chunks and acks ends with the same bytes", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 4000 }),
        fc.integer({ min: 64, max: 600 }),
        fc.double({ min: 0, max: 0.6, noNaN: true }),
        fc.integer(),
        (bytes, chunkBytes, loss, seed) => {
          const { assembly, most } = transfer(bytes, chunkBytes, createRandom(seed).uniform, loss);
          expect(assembly.complete()).toBe(true);
          expect(assembly.bytes()).toEqual(bytes);
          expect(most).toBeLessThanOrEqual(timing.size);
        },
      ),
      { numRuns: 150 },
    );
  });

  it("a damaged chunk is refused, changes nothing, and the right one is still taken", () => {
    const bytes = new Uint8Array(1000).map((_, i) => i);
    const assembly = assemble(describeBytes(bytes, 300));
    const damaged = slice(bytes, 300, 1).slice();
    damaged[5]! ^= 1;
    expect(() => assembly.add(1, damaged)).toThrow(expect.objectContaining({ code: "BAD_HASH" }));
    expect(() => assembly.add(4, slice(bytes, 300, 1))).toThrow(FleetError);
    expect(() => assembly.bytes()).toThrow(/4 of 4 chunks/);
    for (const index of [3, 1, 0, 2, 1]) assembly.add(index, slice(bytes, 300, index));
    expect(assembly.bytes()).toEqual(bytes);
  });

  it("a manifest whose hashes are not one for every chunk is no manifest", () => {
    const manifest = describeBytes(new Uint8Array(1000), 300);
    expect(TransferManifest.safeParse(manifest).success).toBe(true);
    expect(TransferManifest.safeParse({ ...manifest, size: 5000 }).success).toBe(false);
    expect(TransferManifest.safeParse({ ...manifest, hashes: new Uint8Array(0) }).success).toBe(false);
  });

  it("more chunks than a control message can describe are refused with what to do", () => {
    expect(() => describeBytes(new Uint8Array(64 * (limits.chunks + 1)), 64)).toThrow(/raise chunkBytes/);
  });

  it("an unanswered chunk is sent again, each time after twice the wait", () => {
    let { window, send } = stepWindow(openWindow({ count: 1, ...timing }), { kind: "tick" }, 0);
    expect(send).toEqual([0]);
    const sentAt: number[] = [];
    for (let nowMs = 1; nowMs < 3000; nowMs++) {
      ({ window, send } = stepWindow(window, { kind: "tick" }, nowMs));
      if (send.length > 0) sentAt.push(nowMs);
    }
    expect(sentAt).toEqual([100, 300, 700, 1500, 2500]);
  });
});
