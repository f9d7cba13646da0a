#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""make_masks.py > masks.txt: what flax and Keras 3 (on jax) give for masked batch norms, in double; Keras computes in float.

    flax|keras n c s                     (the shape; numbers follow in the order n, c, s)
    mask m...                            (n, s)
    x ..., dy ..., weight ..., bias ...
    y ..., dx ..., dweight ..., dbias ...
    running_mean ..., running_var ...    (after one step from 0 and 1)

flax: nn.BatchNorm(momentum=0.9, epsilon=1e-5) with its argument `mask`. Keras: BatchNormalization(momentum=0.9, epsilon=1e-3)
with a mask of time steps; its own epsilon, which it adds to the number of ones, is set to 0.
"""
import os

os.environ["KERAS_BACKEND"] = "jax"

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import keras
import numpy as np

jax.config.update("jax_enable_x64", True)
keras.config.set_floatx("float64")
keras.config.set_epsilon(0.0)


def row(name, values):
    print(name, *(f"{v:.17g}" for v in np.asarray(values, dtype=np.float64).ravel()))


def channels_last(a):
    return jnp.asarray(np.transpose(a, (0, 2, 1)))


def channels_first(a):
    return np.transpose(np.asarray(a), (0, 2, 1))


def by_flax(x, mask, weight, bias):
    norm = nn.BatchNorm(use_running_average=False, momentum=0.9, epsilon=1e-5, param_dtype=jnp.float64)
    running = {"mean": jnp.zeros(len(weight)), "var": jnp.ones(len(weight))}

    def call(x, weight, bias):
        y, updated = norm.apply({"params": {"scale": weight, "bias": bias}, "batch_stats": running}, x,
                                mask=jnp.asarray(mask)[:, :, None], mutable=["batch_stats"])
        return y, (updated["batch_stats"]["mean"], updated["batch_stats"]["var"])

    return call


def by_keras(x, mask, weight, bias):
    norm = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-3, dtype="float64")
    norm.build(x.shape)

    def call(x, weight, bias):
        (y, updated) = norm.stateless_call([weight, bias], [jnp.zeros(len(weight)), jnp.ones(len(weight))], x,
                                           training=True, mask=jnp.asarray(mask))
        return y, tuple(updated)

    return call


def record(name, make, n, c, s, mask, seed):
    draw = np.random.default_rng(seed)
    x, dy = draw.normal(2, 3, (n, c, s)), draw.normal(size=(n, c, s))
    weight, bias = draw.uniform(0.5, 1.5, c), draw.normal(size=c)
    call = make(channels_last(x), mask, weight, bias)
    y, back, updated = jax.vjp(call, channels_last(x), jnp.asarray(weight), jnp.asarray(bias), has_aux=True)
    dx, dweight, dbias = back(channels_last(dy))
    print(name, n, c, s)
    print("mask", *(int(m) for m in np.asarray(mask).ravel()))
    for key, values in (("x", x), ("dy", dy), ("weight", weight), ("bias", bias), ("y", channels_first(y)),
                        ("dx", channels_first(dx)), ("dweight", dweight), ("dbias", dbias), ("running_mean", updated[0]),
                        ("running_var", updated[1])):
        row(key, values)


print(f"# jax {jax.__version__}, flax {flax.__version__}, keras {keras.__version__}")
for name, make in (("flax", by_flax), ("keras", by_keras)):
    lengths = np.arange(7) < np.array([7, 3, 0, 5])[:, None]
    holes = np.random.default_rng(1).uniform(size=(3, 11)) < 0.5
    record(name, make, 4, 3, 7, lengths, 2)
    record(name, make, 3, 2, 11, holes, 3)
    record(name, make, 2, 5, 4, np.ones((2, 4), bool), 4)
