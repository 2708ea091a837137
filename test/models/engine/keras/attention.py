"""Writes attention.jsonl, one line each: small models with attention, their weights, inputs, targets, and what Keras makes of them.

python attention.py, with the package tensorflow-cpu (written with Keras 3.15.1). A target that is null is missing: it
takes no part in the loss, which is the mean of the squared errors over the others.
"""

import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

layers = keras.layers
random = np.random.default_rng(1)


def self_causal():
    x = keras.Input((7, 6))
    y = layers.MultiHeadAttention(2, 5, name="mha")(x, x, use_causal_mask=True)
    return keras.Model(x, y)


def cross_by_name():
    q, v, k = keras.Input((5, 6)), keras.Input((7, 3)), keras.Input((7, 4))
    # A layer in front of each: the gradients of all three inputs are in the comparison.
    q2, v2, k2 = layers.Dense(5, "tanh")(q), layers.Dense(4, "tanh")(v), layers.Dense(6, "tanh")(k)
    attend = layers.MultiHeadAttention(3, 2, value_dim=4, output_shape=9, use_bias=False, name="mha")
    return keras.Model([q, v, k], attend(query=q2, key=k2, value=v2))


def encoder_decoder():
    q, v = keras.Input((5, 6)), keras.Input((3, 4))
    h = layers.Dense(4, "tanh")(v)
    return keras.Model([q, v], layers.MultiHeadAttention(2, 3, name="mha")(layers.Dense(5, "tanh")(q), h))


def self_masked(causal):
    def build():
        tokens = keras.Input((9,))
        x = layers.Embedding(6, 5, mask_zero=True)(tokens)
        return keras.Model(tokens, layers.MultiHeadAttention(2, 3, name="mha")(x, x, use_causal_mask=causal))

    return build


def attention_scaled():
    q, v, k = keras.Input((5, 4)), keras.Input((6, 3)), keras.Input((6, 4))
    q2, v2, k2 = layers.Dense(5, "tanh")(q), layers.Dense(4, "tanh")(v), layers.Dense(5, "tanh")(k)
    y = layers.Attention(use_scale=True, name="attention")([q2, v2, k2], use_causal_mask=True)
    return keras.Model([q, v, k], y)


def attention_masked():
    queries, values = keras.Input((5,)), keras.Input((8,))
    q = layers.Embedding(6, 5, mask_zero=True)(queries)
    v = layers.Embedding(6, 5, mask_zero=True)(values)
    return keras.Model([queries, values], layers.Attention(name="attention")([q, v]))


def additive(use_scale):
    def build():
        q, v, k = keras.Input((5, 4)), keras.Input((6, 3)), keras.Input((6, 4))
        q2, v2, k2 = layers.Dense(5, "tanh")(q), layers.Dense(4, "tanh")(v), layers.Dense(5, "tanh")(k)
        attend = layers.AdditiveAttention(use_scale=use_scale, name="additive")
        return keras.Model([q, v, k], attend([q2, v2, k2], use_causal_mask=use_scale))

    return build


def additive_masked():
    queries, values = keras.Input((5,)), keras.Input((8,))
    q = layers.Embedding(6, 7, mask_zero=True)(queries)
    v = layers.Embedding(6, 7, mask_zero=True)(values)
    return keras.Model([queries, values], layers.AdditiveAttention(name="additive")([q, v]))


def normalized():
    x = keras.Input((5, 7))
    h = layers.Dense(6)(x)
    return keras.Model(x, layers.BatchNormalization(epsilon=1e-2)(layers.LayerNormalization(epsilon=1e-2)(h)))


MODELS = {
    "MultiHeadAttention of a sequence to its own past": (self_causal, None),
    "MultiHeadAttention with query, key and value by name, no bias, every size another": (cross_by_name, None),
    "MultiHeadAttention with one input as key and value": (encoder_decoder, None),
    "MultiHeadAttention with masked steps": (self_masked(False), 6),
    "MultiHeadAttention with masked steps, to its own past": (self_masked(True), 6),
    "Attention with scale, value and key, causal": (attention_scaled, None),
    "Attention with masked queries and values": (attention_masked, 6),
    "LayerNormalization and BatchNormalization": (normalized, None),
    "AdditiveAttention with scale, value and key, causal": (additive(True), None),
    "AdditiveAttention without scale": (additive(False), None),
    "AdditiveAttention with masked queries and values": (additive_masked, 6),
}
BATCH = 3


def draw(shape, scale=1.0):
    return np.round(random.uniform(-scale, scale, shape), 3).astype(np.float32)


def case(name, build, tokens):
    model = build()
    # Variances are positive.
    for weight in model.weights:
        values = draw(weight.shape, 0.9)
        weight.assign(np.abs(values) + 0.1 if weight.path.endswith("variance") else values)
    ordered = model.trainable_weights + model.non_trainable_weights
    weights = [w.numpy().ravel().tolist() for w in ordered]
    shapes = [(BATCH, *x.shape[1:]) for x in model.inputs]
    if tokens is None:
        xs = [draw(shape, 2) for shape in shapes]
    else:
        xs = [random.integers(0, tokens, shape).astype(np.float32) for shape in shapes]
        xs[-1][0, :] = 0  # one sample without a single key
        xs[-1][1, :3] = 0  # one that begins with nothing
    ys = draw(model(xs).shape)
    # In Keras the scores of a masked query have a gradient although the weights do not depend on them.
    present = np.ones_like(ys) if tokens is None else np.where(xs[0][..., None] != 0, np.ones_like(ys), 0)
    inputs = xs if len(xs) > 1 else xs[0]
    outputs = model(inputs, training=False).numpy()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(present * (model(inputs, training=True) - ys) ** 2) / present.sum()
    gradients = [tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, model.trainable_weights)]
    return {
        "name": name,
        "topology": json.loads(model.to_json()),
        "layout": [{"name": w.path, "shape": list(w.shape)} for w in ordered],
        "weights": flat(weights, 3),
        "inputs": [flat(x.ravel(), 3) for x in xs],
        "targets": [y if p else None for y, p in zip(flat(ys.ravel(), 3), present.ravel())],
        "outputs": flat(outputs.ravel(), 7),
        "gradients": flat([g.ravel() for g in gradients], 8),
    }


def flat(values, digits):
    return [round(float(v), digits) for v in (np.concatenate(values) if isinstance(values, list) else values)]


cases = [case(name, *rest) for name, rest in MODELS.items()]
lines = [json.dumps(case, separators=(",", ":")) + "\n" for case in cases]
Path(__file__).with_suffix(".jsonl").write_text("".join(lines))
