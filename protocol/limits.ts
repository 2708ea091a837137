/**
 * Sizes that hold on every broker we carry on: AWS IoT Core takes 128 KB a publish and 7 slashes, EMQX 1 MB, NATS 1 MB.
 * Everything is checked before it is parsed.
 */
export const limits = {
  /** One MQTT publish, payload and topic together. */
  publishBytes: 120 * 1024,
  /** A control message: everything but chunks. */
  controlBytes: 16 * 1024,
  /** Payload of one chunk of a transfer, default and maximum. */
  chunkBytes: 96 * 1024,
  /** Chunks of one transfer: their hashes (32 bytes each) must fit into a control message. */
  chunks: 448,
  /** Chunks in flight at once. */
  window: 8,
  /** Entries of one msgpack array or map. */
  items: 64,
  /** Containers inside each other in one msgpack message. */
  depth: 8,
  /** All msgpack values of one message together. */
  values: 2048,
  /** Channels of a device's data ... */
  channels: 512,
  /** ... because their statistics (three float64 each) must fit into a control message. */
  statisticsBytes: 512 * 24,
} as const;
