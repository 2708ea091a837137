import { describe, expect, it } from "vitest";
import { transferId } from "../../protocol/idempotency.ts";
import { formatJoin, parseJoin } from "../../protocol/join.ts";
import {
  makeSigningKeys,
  openManifest,
  readPrivateKey,
  readPublicKey,
  signManifest,
} from "../../protocol/manifest.ts";
import { mayPublish, maySubscribe, parseTopic, topics } from "../../protocol/topics.ts";
import { describe as describeBytes } from "../../protocol/transfer.ts";

describe("topics", () => {
  it("what we build is what we parse", () => {
    const xfer = "0".repeat(32);
    expect(parseTopic(topics.up("pump-1", "state"))).toEqual({
      direction: "up",
      device: "pump-1",
      kind: "state",
    });
    expect(parseTopic(topics.chunkUp("pump-1", xfer))).toEqual({
      direction: "up",
      device: "pump-1",
      kind: "upd",
      xfer,
    });
    expect(parseTopic(topics.down("pump-1", "want"))).toEqual({
      direction: "down",
      device: "pump-1",
      kind: "want",
    });
  });

  it("topics of strangers are not ours", () => {
    for (const topic of [
      "",
      "starling/v1",
      "starling/v2/a/up/state",
      "starling/v1/A/up/state",
      "starling/v1/a/up/state/x",
      "starling/v1/a/up/upd",
      "starling/v1/a/up/upd/../../x",
      "starling/v1/a/dn/state",
      "starling/v1/+/up/state",
      "$SYS/broker",
    ]) {
      expect(parseTopic(topic), topic).toBeUndefined();
    }
  });

  it("a device publishes below its own up/ and reads below its own dn/, nothing else", () => {
    expect(mayPublish("a", "starling/v1/a/up/hb")).toBe(true);
    expect(mayPublish("a", "starling/v1/b/up/hb")).toBe(false);
    expect(mayPublish("a", "starling/v1/a/dn/want")).toBe(false);
    expect(maySubscribe("a", topics.inbox("a"))).toBe(true);
    expect(maySubscribe("a", "starling/v1/a/dn/want")).toBe(true);
    for (const filter of [
      "#",
      "starling/v1/+/dn/+",
      "starling/v1/b/dn/+",
      "starling/v1/a/#",
      "starling/v1/a/up/state",
    ]) {
      expect(maySubscribe("a", filter), filter).toBe(false);
    }
  });
});

describe("version manifest", () => {
  const manifest = {
    kind: "version" as const,
    task: "main",
    number: 3,
    base: null,
    round: 2,
    createdMs: 5,
    transfer: describeBytes(new Uint8Array(100), 64),
  };

  it("opens with the key that signed it and with no other, and not when a bit of it changed", () => {
    const keys = makeSigningKeys();
    const signed = signManifest(manifest, readPrivateKey(keys.privateKey));
    expect(openManifest(signed, readPublicKey(keys.publicKey))).toEqual(manifest);
    const stranger = readPublicKey(makeSigningKeys().publicKey);
    expect(() => openManifest(signed, stranger)).toThrow(expect.objectContaining({ code: "BAD_SIGNATURE" }));
    const changed = signed.manifest.slice();
    changed[20]! ^= 1;
    const forged = { ...signed, manifest: changed };
    expect(() => openManifest(forged, readPublicKey(keys.publicKey))).toThrow(
      expect.objectContaining({ code: "BAD_SIGNATURE" }),
    );
  });
});

describe("join string", () => {
  const join = {
    url: "mqtt://127.0.0.1:1883",
    device: "pump-1",
    token: "t".repeat(43),
    publicKey: makeSigningKeys().publicKey,
  };

  it("comes back as it was", () => {
    expect(parseJoin(` ${formatJoin(join)}\n`)).toEqual(join);
  });

  it("says what to do when it is damaged or something else", () => {
    expect(() => parseJoin("hello")).toThrow(/starling enroll/);
    expect(() => parseJoin(formatJoin(join).slice(0, -20))).toThrow(/damaged.*starling enroll/);
    expect(() => parseJoin(formatJoin({ ...join, device: "UPPER" }))).toThrow(/device/);
    expect(() => parseJoin(formatJoin({ ...join, url: "http://x" }))).toThrow(/url/);
  });
});

describe("idempotency key", () => {
  it("every part of it makes another transfer", () => {
    const key = { device: "a", task: "main", round: 1, nonce: "n", bootSeq: 1, sha256: "s" };
    const others = [
      { ...key, device: "b" },
      { ...key, task: "other" },
      { ...key, round: 2 },
      { ...key, nonce: "m" },
      { ...key, bootSeq: 2 },
      { ...key, sha256: "r" },
    ];
    const ids = [key, ...others].map(transferId);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids[0]).toMatch(/^[0-9a-f]{32}$/);
  });
});
