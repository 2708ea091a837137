import type { Loss } from "../loss-spec.ts";
import type { Tf, TfTensor } from "./api.ts";

const EPSILON = 1e-7;

/**
 * The loss of each target: p is (rows,cols), y the same without NaN, or (rows,cols) one-hot where targets are classes. Gives (rows,cols), or (rows,1)
 * for a loss that takes a row for one target. The same formulas as the kernels', so that both engines train alike.
 */
export function lossOfEach(tf: Tf, loss: Loss, p: TfTensor, y: TfTensor): TfTensor {
  const clipped = (x: TfTensor, high = 1 - EPSILON) => tf.clipByValue(x, EPSILON, high);
  const row = (x: TfTensor) => tf.sum(x, 1, true);
  const error = () => tf.sub(p, y);
  switch (loss.name) {
    case "mse":
      return tf.square(error());
    case "mae":
      return tf.abs(error());
    case "huber": {
      const size = tf.abs(error());
      const near = tf.minimum(size, loss.delta);
      return tf.add(tf.mul(0.5, tf.square(near)), tf.mul(loss.delta, tf.sub(size, near)));
    }
    case "logCosh": {
      const size = tf.abs(error());
      return tf.sub(tf.add(size, tf.softplus(tf.mul(-2, size))), Math.LN2);
    }
    case "poisson":
      return tf.sub(p, tf.mul(y, tf.log(tf.add(p, EPSILON))));
    case "kld":
      return row(tf.mul(y, tf.log(tf.div(clipped(y, 1), clipped(p, 1)))));
    case "cosineSimilarity": {
      const unit = (x: TfTensor) => tf.div(x, tf.sqrt(tf.maximum(row(tf.square(x)), EPSILON)));
      return tf.neg(row(tf.mul(unit(p), unit(y))));
    }
    case "binaryCrossentropy": {
      if (loss.fromLogits) return tf.add(tf.sub(tf.relu(p), tf.mul(p, y)), tf.softplus(tf.neg(tf.abs(p))));
      const q = clipped(p);
      const no = tf.mul(tf.sub(1, y), tf.log(tf.sub(1, q)));
      return tf.neg(tf.add(tf.mul(y, tf.log(q)), no));
    }
    case "categoricalCrossentropy":
    case "sparseCategoricalCrossentropy": {
      const logs = loss.fromLogits ? tf.logSoftmax(p, -1) : tf.log(clipped(tf.div(p, row(p))));
      return tf.neg(row(tf.mul(y, logs)));
    }
  }
}

/** Whether a row is one target. */
export function isByRow(loss: Loss): boolean {
  return (
    loss.name === "kld" ||
    loss.name === "cosineSimilarity" ||
    loss.name === "categoricalCrossentropy" ||
    loss.name === "sparseCategoricalCrossentropy"
  );
}
