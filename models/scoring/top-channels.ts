export interface ChannelShare {
  /** Index of the channel. */
  readonly channel: number;
  /** Its part of the whole score, 0..1. */
  readonly share: number;
}

/** The channels that made the most of a score, highest first; channels that made nothing are left out. */
export function topChannels(contributions: Float32Array | Float64Array, most = 3): ChannelShare[] {
  const terms = Array.from(contributions);
  const total = terms.reduce((a, b) => a + b, 0);
  if (!(total > 0)) return [];
  return terms
    .map((value, channel) => ({ channel, share: value / total }))
    .filter(({ share }) => share > 0)
    .sort((a, b) => b.share - a.share || a.channel - b.channel)
    .slice(0, most);
}
