/**
 * The network that is everyone's first: two convolutions, two poolings, two dense layers; 121,930 parameters. x: (batch, 28, 28, 1) in 0..1 ->
 * probabilities of ten classes. LayersModel JSON, as tfjs and Keras write it.
 */
export const network = {
  class_name: "Sequential",
  config: {
    name: "image_classifier",
    layers: [
      layer("Conv2D", {
        name: "conv1",
        batch_input_shape: [null, 28, 28, 1],
        filters: 32,
        kernel_size: [3, 3],
        activation: "relu",
      }),
      layer("MaxPooling2D", { name: "pool1", pool_size: [2, 2] }),
      layer("Conv2D", { name: "conv2", filters: 64, kernel_size: [3, 3], activation: "relu" }),
      layer("MaxPooling2D", { name: "pool2", pool_size: [2, 2] }),
      layer("Flatten", { name: "flatten" }),
      layer("Dense", { name: "hidden", units: 64, activation: "relu" }),
      layer("Dense", { name: "classes", units: 10, activation: "softmax" }),
    ],
  },
};

function layer(class_name: string, config: Readonly<Record<string, unknown>>) {
  return { class_name, config };
}
