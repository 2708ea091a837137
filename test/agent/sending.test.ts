import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Sending, type SendingEvent, startSending, stepSending } from "../../agent/sending.ts";
import { addChunk, chunksMissing, noChunks } from "../../protocol/transfer.ts";

const options = { chunks: 12, size: 4, timeoutMs: 100, maxTimeoutMs: 800 };

describe("sending", () => {
  it("ends stored over any loss of offers, acks, chunks and connections, with at most a window in flight", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 99 }), { minLength: 200, maxLength: 200 }), (dice) => {
        let die = 0;
        const luck = () => (die < dice.length ? dice[die++]! : 99);
        const have = noChunks(options.chunks);
        let sending: Sending = startSending();
        let nowMs = 0;
        let stored = false;
        let queue: SendingEvent[] = [{ kind: "connected" }];
        for (let round = 0; round < 2000 && !stored; round++) {
          nowMs += 50;
          const event = queue.shift() ?? { kind: "tick" };
          const step = stepSending(sending, event, nowMs, options);
          sending = step.sending;
          if (sending.phase === "chunks")
            expect(sending.window.inFlight.size).toBeLessThanOrEqual(options.size);
          if (luck() < 5) {
            queue = [{ kind: "connected" }]; // everything under way is gone
            continue;
          }
          if (step.offer && luck() > 30) {
            if (chunksMissing(have, options.chunks) === 0) stored = luck() > 30;
            else if (luck() > 30) queue.push({ kind: "open", have: have.slice() });
          }
          for (const index of step.chunks) {
            // The broker may have it and the coordinator not, and the other way round.
            if (luck() > 30) addChunk(have, index);
            if (luck() > 30) queue.push({ kind: "delivered", index });
          }
        }
        expect(stored).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  it("offers again with growing pauses, and sends only what is missing", () => {
    let step = stepSending(startSending(), { kind: "connected" }, 0, options);
    expect(step.offer).toBe(true);
    const offered: number[] = [];
    for (let nowMs = 0; nowMs < 3000; nowMs += 50) {
      step = stepSending(step.sending, { kind: "tick" }, nowMs, options);
      if (step.offer) offered.push(nowMs);
    }
    expect(offered).toEqual([100, 300, 700, 1500, 2300]);
    const have = noChunks(options.chunks);
    for (const index of [0, 1, 2, 5]) addChunk(have, index);
    step = stepSending(step.sending, { kind: "open", have }, 3000, options);
    expect(step.chunks).toEqual([3, 4, 6, 7]);
  });
});
