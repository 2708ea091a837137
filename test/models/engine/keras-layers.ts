import * as tf from "@tensorflow/tfjs";

// Layers and options that Keras has and tfjs lacks or has wrong, in operations of tfjs, which derive themselves: plain references.

type Config = Record<string, unknown>;

const classes: tf.serialization.SerializableConstructor<tf.layers.Layer>[] = [];

/** From here on tfjs reads topologies with these layers, in the place of its own where it has one. */
export function registerKerasLayers(): void {
  for (const one of classes) tf.serialization.registerClass(one);
}

/** A layer without weights; `config` is what Keras writes besides the name. */
function defineLayer(
  className: string,
  call: (xs: tf.Tensor[], config: Config) => tf.Tensor,
): (config?: Config) => tf.layers.Layer {
  class Defined extends tf.layers.Layer {
    static className = className;
    readonly config: Config;
    constructor({ name, batchInputShape, trainable: _, ...config }: Config) {
      super(Object.fromEntries(Object.entries({ name, batchInputShape }).filter(([, value]) => value)));
      // What tfjs reads from a file it gives in camel case.
      const snake = (key: string) => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      this.config = Object.fromEntries(Object.entries(config).map(([key, value]) => [snake(key), value]));
    }
    override computeOutputShape(shapes: tf.Shape | tf.Shape[]): tf.Shape {
      const list = (Array.isArray(shapes[0]) ? shapes : [shapes]) as number[][];
      const sample = tf.tidy(() =>
        call(
          list.map(([, ...shape]) => tf.zeros([1, ...shape])),
          this.config,
        ).shape.slice(1),
      );
      return [null as unknown as number, ...sample];
    }
    override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
      return tf.tidy(() => call(Array.isArray(inputs) ? inputs : [inputs], this.config));
    }
    override getConfig() {
      return { ...super.getConfig(), ...(this.config as tf.serialization.ConfigDict) };
    }
  }
  classes.push(Defined as never);
  return (config = {}) => new Defined(config);
}

export const subtract = defineLayer("Subtract", ([a, b]) => tf.sub(...expand(a!, b!)));

/** The gradient of tfjs's own, where a size of 1 is repeated, has the wrong shape. */
export const maximum = defineLayer("Maximum", (xs) => xs.reduce((a, b) => tf.maximum(...alike(a, b))));
export const minimum = defineLayer("Minimum", (xs) => xs.reduce((a, b) => tf.minimum(...alike(a, b))));

/** tfjs takes every negative axis for the last. */
export const concatenate = defineLayer("Concatenate", (xs, { axis }) =>
  tf.concat(xs, (xs[0]!.rank + (axis as number)) % xs[0]!.rank),
);

export const zeroPadding1d = defineLayer("ZeroPadding1D", ([x], { padding }) =>
  tf.pad(x!, [[0, 0], both(padding), [0, 0]]),
);

export const cropping1d = defineLayer("Cropping1D", ([x], { cropping }) => {
  const [left, right] = both(cropping);
  const [, time, channels] = x!.shape as [number, number, number];
  return tf.slice(x!, [0, left, 0], [-1, time - left - right, channels]);
});

export const upSampling1d = defineLayer("UpSampling1D", ([x], { size }) => {
  const [, time, channels] = x!.shape as [number, number, number];
  return tf.reshape(tf.tile(tf.expandDims(x!, 2), [1, 1, size as number, 1]), [
    -1,
    time * (size as number),
    channels,
  ]);
});

/** Of equals tfjs's own gives the whole gradient to each. */
export const globalMaxPooling1d = defineLayer("GlobalMaxPooling1D", ([x], { keepdims }) => {
  const [, time, channels] = x!.shape as [number, number, number];
  const y = tf.maxPool(tf.reshape(x!, [-1, 1, time, channels]) as tf.Tensor4D, [1, time], 1, "valid");
  return tf.reshape(y, keepdims ? [-1, 1, channels] : [-1, channels]);
});
export const globalMaxPooling2d = defineLayer("GlobalMaxPooling2D", ([x], { keepdims }) => {
  const [, height, width, channels] = x!.shape as [number, number, number, number];
  const y = tf.maxPool(x as tf.Tensor4D, [height, width], 1, "valid");
  return keepdims ? y : tf.reshape(y, [-1, channels]);
});
export const globalAveragePooling1d = defineLayer("GlobalAveragePooling1D", ([x], { keepdims }) =>
  tf.mean(x!, 1, keepdims === true),
);
export const globalAveragePooling2d = defineLayer("GlobalAveragePooling2D", ([x], { keepdims }) =>
  tf.mean(x!, [1, 2], keepdims === true),
);

/** tfjs divides the gradient of what "same" pads by the whole window, though its forward pass divides by what is there. */
export const averagePooling2d = defineLayer("AveragePooling2D", ([x], { pool_size, strides, padding }) => {
  const [, height, width] = x!.shape as number[];
  const [windows, steps] = [pool_size, strides] as number[][];
  const [rows, columns] = [height!, width!].map((size, axis) =>
    averaging(size, windows![axis]!, steps![axis]!, padding === "same"),
  );
  return linear(x!, rows!, columns!);
});
export const averagePooling1d = defineLayer("AveragePooling1D", ([x], { pool_size, strides, padding }) => {
  const [, time, channels] = x!.shape as [number, number, number];
  const columns = averaging(time, pool_size as number, strides as number, padding === "same");
  const y = linear(tf.reshape(x!, [-1, 1, time, channels]), [[1]], columns);
  return tf.reshape(y, [-1, columns.length, channels]);
});

/**
 * The gradients of tfjs's own are wrong: nearest reads that of the first sample for all, bilinear mixes up height and width. Where the file is
 * one of Keras (it has a dtype), pixels are squares with centres at halves.
 */
export const upSampling2d = defineLayer("UpSampling2D", ([x], { size, interpolation, dtype }) => {
  const [, height, width] = x!.shape as number[];
  const [fh, fw] = size as [number, number];
  const shift = dtype === undefined ? 0 : 0.5;
  const sources = (pixels: number, factor: number) =>
    interpolation === "bilinear" ? between(pixels, factor, shift) : repeated(pixels, factor);
  return linear(x!, sources(height!, fh), sources(width!, fw));
});

/** y[i][j] = sum rows[i][h] x[h][w] columns[j][w], for each channel. */
function linear(x: tf.Tensor, rows: number[][], columns: number[][]): tf.Tensor {
  const [batch, height, width, channels] = x.shape as [number, number, number, number];
  const byChannel = tf.reshape(tf.transpose(x, [0, 3, 1, 2]), [batch * channels, height, width]);
  const right = tf.matMul(
    tf.reshape(byChannel, [batch * channels * height, width]),
    tf.tensor2d(columns),
    false,
    true,
  );
  const turned = tf.transpose(tf.reshape(right, [batch * channels, height, columns.length]), [0, 2, 1]);
  const left = tf.matMul(
    tf.reshape(turned, [batch * channels * columns.length, height]),
    tf.tensor2d(rows),
    false,
    true,
  );
  return tf.transpose(tf.reshape(left, [batch, channels, columns.length, rows.length]), [0, 3, 2, 1]);
}

/** What each place inside counts in each mean. */
function averaging(size: number, window: number, stride: number, same: boolean): number[][] {
  const count = same ? Math.ceil(size / stride) : Math.floor((size - window) / stride) + 1;
  const before = same ? Math.floor(Math.max((count - 1) * stride + window - size, 0) / 2) : 0;
  return Array.from({ length: count }, (_, i) => {
    const inside = Array.from({ length: size }, (_, k) => {
      const place = k - (i * stride - before);
      return place >= 0 && place < window ? 1 : 0;
    });
    const total = inside.reduce<number>((sum, one) => sum + one, 0);
    return inside.map((one) => one / total);
  });
}

function repeated(size: number, factor: number): number[][] {
  return Array.from({ length: size * factor }, (_, i) =>
    Array.from({ length: size }, (_, k) => (Math.floor(i / factor) === k ? 1 : 0)),
  );
}

function between(size: number, factor: number, shift: number): number[][] {
  return Array.from({ length: size * factor }, (_, i) => {
    const place = Math.min(Math.max((i + shift) / factor - shift, 0), size - 1);
    return Array.from({ length: size }, (_, k) => Math.max(0, 1 - Math.abs(place - k)));
  });
}

function both(amount: unknown): [number, number] {
  return typeof amount === "number" ? [amount, amount] : (amount as [number, number]);
}

/** Of two ranks the lower has its missing axes behind the batch. */
function expand(a: tf.Tensor, b: tf.Tensor): [tf.Tensor, tf.Tensor] {
  if (a.rank < b.rank) return expand(tf.expandDims(a, 1), b);
  return a.rank > b.rank ? expand(a, tf.expandDims(b, 1)) : [a, b];
}

function alike(a: tf.Tensor, b: tf.Tensor): [tf.Tensor, tf.Tensor] {
  const [left, right] = expand(a, b);
  const shape = left.shape.map((size, i) => Math.max(size, right.shape[i]!));
  return [tf.broadcastTo(left, shape), tf.broadcastTo(right, shape)];
}
