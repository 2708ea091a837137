/** The right to be the one coordinator of a fleet. */
export interface Lease {
  /** Aborts when the lease is lost: from then on nothing may be written. */
  readonly lost: AbortSignal;
  release(): Promise<void>;
}

export interface Leases {
  /** Throws LOCKED, with who holds it where that is known. A holder that died, however it died, holds nothing. */
  acquire(name: string): Promise<Lease>;
}
