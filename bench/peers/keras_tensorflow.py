"""Keras on TensorFlow for CPUs: train_on_batch, which Keras compiles to a graph. argv: number of threads,
and "xla" to have the graph compiled further, which Keras leaves out on processors unless it is told."""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import tensorflow as tf
from keras import layers
from lines import read_data, serve

threads = int(sys.argv[1])
xla = sys.argv[2:] == ["xla"]
tf.config.threading.set_intra_op_parallelism_threads(threads)
tf.config.threading.set_inter_op_parallelism_threads(threads)


def last_step(layer):
    return keras.Sequential([keras.Input((64, 8)), layer, layers.Dense(8)])


def autoencoder():
    same = {"padding": "same"}
    return keras.Sequential(
        [
            keras.Input((64, 38)),
            layers.Conv1D(32, 7, strides=2, activation="relu", **same),
            layers.Conv1D(16, 7, strides=2, activation="relu", **same),
            layers.Conv1DTranspose(16, 7, strides=2, activation="relu", **same),
            layers.Conv1DTranspose(32, 7, strides=2, activation="relu", **same),
            layers.Conv1DTranspose(38, 7, **same),
        ]
    )


def image_network():
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def mini_transformer():
    width, heads = 32, 2
    inputs = keras.Input((32, 8))
    x = layers.Dense(width)(inputs)
    for _ in range(2):
        attended = layers.MultiHeadAttention(heads, width // heads)(x, x)
        x = layers.LayerNormalization(epsilon=1e-5)(layers.Add()([x, attended]))
        wide = layers.Dense(4 * width, activation="relu")(x)
        x = layers.LayerNormalization(epsilon=1e-5)(layers.Add()([x, layers.Dense(width)(wide)]))
    outputs = layers.Dense(8)(layers.GlobalAveragePooling1D()(x))
    return keras.Model(inputs, outputs)


# name: (how to build it, input shape of a sample)
NETWORKS = {
    "gru": (lambda: last_step(layers.GRU(32, reset_after=False)), (64, 8)),
    "lstm": (lambda: last_step(layers.LSTM(32)), (64, 8)),
    "conv1d-autoencoder": (autoencoder, (64, 38)),
    "image-network": (image_network, (28, 28, 1)),
    "mini-transformer": (mini_transformer, (32, 8)),
}
LOSSES = {"mse": "mse", "sparseCategoricalCrossentropy": "sparse_categorical_crossentropy"}


def prepare(request):
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    make, input_shape = NETWORKS[request["network"]]
    model = make()
    x, y = read_data(request, input_shape)
    batch = request["batch"]
    xs = [tf.constant(x[i : i + batch]) for i in range(0, len(x), batch)]
    parameters = model.count_params()
    if request["mode"] == "scoring":
        graph = tf.function(lambda window: model(window, training=False), jit_compile=xla)
        return parameters, lambda units: score(graph, xs, units)
    ys = [tf.constant(y[i : i + batch]) for i in range(0, len(x), batch)]
    model.compile(
        optimizer=keras.optimizers.Adam(request["learningRate"]),
        loss=LOSSES[request["loss"]],
        jit_compile=True if xla else "auto",
    )
    step = 0

    def run(units):
        nonlocal step
        for _ in range(units):
            at = step % len(xs)
            step += 1
            value = model.train_on_batch(xs[at], ys[at])
        return value

    return parameters, run


def score(graph, xs, units):
    for i in range(units):
        graph(xs[i % len(xs)]).numpy()
    return None


serve({"version": f"{keras.__version__} on TensorFlow {tf.__version__}"}, prepare)
