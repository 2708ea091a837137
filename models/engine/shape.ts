/** Sizes without the batch axis, outermost first. */
export type Shape = readonly number[];

/** Names and shapes of a model's weights in LayersModel order: how its flat Float32Array is cut. */
export type Layout = readonly { readonly name: string; readonly shape: Shape }[];

export function sizeOf(shape: Shape): number {
  return shape.reduce((product, size) => product * size, 1);
}
