/** Data as it is posted: what stands in shared memory or fills its buffer goes as it is, a part of a larger buffer is copied out of it first. */
export function whole<T>(value: T): T {
  if (value instanceof Float32Array) return (fills(value) ? value : value.slice()) as T;
  if (Array.isArray(value)) return value.map(whole) as T;
  return value;
}

/** The buffers of all arrays in `value`, each once, to be handed over; shared memory is not. */
export function buffersOf(value: unknown): ArrayBuffer[] {
  const found = new Set<ArrayBuffer>();
  const look = (part: unknown) => {
    if (part instanceof Float32Array) {
      if (part.buffer instanceof ArrayBuffer) found.add(part.buffer);
    } else if (Array.isArray(part)) part.forEach(look);
  };
  look(value);
  return [...found];
}

function fills(array: Float32Array): boolean {
  return !(array.buffer instanceof ArrayBuffer) || array.byteLength === array.buffer.byteLength;
}
