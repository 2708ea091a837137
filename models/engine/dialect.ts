/**
 * Where two dialects of LayersModel JSON mean different things by one word, the newer meaning gets a word of its own. Keras 3 calls
 * relu6(x + 3) / 6 hard_sigmoid; Keras 2 and tfjs mean clip(0.2 x + 0.5, 0, 1). Only Keras 3 writes `batch_shape` into an InputLayer, and it
 * writes an InputLayer into every model.
 */
export function translated(model: unknown): unknown {
  return isKeras3(model) ? renamed(model) : model;
}

export function isKeras3(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(isKeras3);
  if (typeof value !== "object" || value === null) return false;
  const { class_name, config } = value as { class_name?: unknown; config?: unknown };
  if (class_name === "InputLayer")
    return typeof config === "object" && config !== null && "batch_shape" in config;
  return Object.values(value).some(isKeras3);
}

/** The engine's word for it. */
const KERAS_3_HARD_SIGMOID = "hard_sigmoid_3";

export function isRenamed(activation: string): boolean {
  return activation === KERAS_3_HARD_SIGMOID;
}

/** Layers stand inside layers (Bidirectional, models), so all of it is looked through. */
function renamed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(renamed);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      /activation$/.test(key) && inner === "hard_sigmoid" ? KERAS_3_HARD_SIGMOID : renamed(inner),
    ]),
  );
}
