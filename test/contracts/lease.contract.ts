import { afterEach, beforeEach, expect, test } from "vitest";
import type { Leases } from "../../coordinator/lease.ts";

export interface LeasesFixture {
  /** Another coordinator's view of the same leases. */
  open(): Leases;
  close(): Promise<void>;
}

/** What all Leases do. */
export function leaseContract(name: string, start: () => Promise<LeasesFixture>): void {
  let fixture: LeasesFixture;
  beforeEach(async () => {
    fixture = await start();
  });
  afterEach(() => fixture.close());

  test(`${name} - one holds a lease, and the next gets it when it is released`, async () => {
    const lease = await fixture.open().acquire("fleet");
    expect(lease.lost.aborted).toBe(false);
    await expect(fixture.open().acquire("fleet")).rejects.toMatchObject({ code: "LOCKED" });
    await lease.release();
    await lease.release();
    const next = await fixture.open().acquire("fleet");
    await expect(fixture.open().acquire("fleet")).rejects.toMatchObject({ code: "LOCKED" });
    await next.release();
  });

  test(`${name} - leases of other names are free`, async () => {
    const leases = fixture.open();
    const [a, b] = await Promise.all([leases.acquire("a"), leases.acquire("b")]);
    await a.release();
    await b.release();
  });

  test(`${name} - of many who ask at once, one gets it`, async () => {
    const asked = await Promise.allSettled(Array.from({ length: 5 }, () => fixture.open().acquire("fleet")));
    const got = asked.filter((outcome) => outcome.status === "fulfilled");
    expect(got).toHaveLength(1);
    await got[0]!.value.release();
  });
}
