/** One fact of a stream. Never changed, never removed. */
export interface Entry {
  /** Grows within the journal, over all streams. */
  readonly seq: number;
  readonly stream: string;
  readonly key: string;
  /** A second way to find it, such as the device that it is about. */
  readonly label: string | undefined;
  readonly atMs: number;
  readonly value: unknown;
}

export type Write =
  /** Appends, unless the stream has an entry of this key already: then nothing of the whole write happens. */
  | {
      readonly kind: "append";
      readonly stream: string;
      readonly key: string;
      readonly value: unknown;
      readonly label?: string;
    }
  /** Sets a cell. With `revision`, only if the cell still has it (0 = is not there): else the whole write throws LOCKED. */
  | { readonly kind: "put"; readonly cell: string; readonly value: unknown; readonly revision?: number };

export interface ReadOptions {
  readonly label?: string;
  /** Only entries with a larger seq, oldest first (the default) ... */
  readonly afterSeq?: number;
  /** ... or only those with a smaller one, newest first. */
  readonly beforeSeq?: number;
  readonly newestFirst?: boolean;
  readonly limit?: number;
}

/**
 * The coordinator's memory: streams of facts with idempotency keys, and cells with revisions. SQLite now, JetStream streams and its key-value
 * store later. Values are plain JSON.
 */
export interface Journal {
  /** All of it or nothing, durable (fsync) when it resolves. `duplicate` says that an append's key was there already and nothing was written. */
  write(writes: readonly Write[]): Promise<"written" | "duplicate">;
  read(stream: string, options?: ReadOptions): Promise<readonly Entry[]>;
  /** The entry of `stream` with `key`. */
  find(stream: string, key: string): Promise<Entry | undefined>;
  count(stream: string, label?: string): Promise<number>;
  get(cell: string): Promise<{ readonly value: unknown; readonly revision: number } | undefined>;
  /** All cells whose name starts with `prefix`, by name. */
  list(
    prefix: string,
  ): Promise<readonly { readonly cell: string; readonly value: unknown; readonly revision: number }[]>;
  close(): Promise<void>;
}
