#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""make_conventions.py FOLDER: files that frameworks write of their batch norms, and what their layers give, for `convert`.

FOLDER/conventions.json is a list of cases: a file in FOLDER, the arguments of convert, the name of a layer in it, an input x of
the shape (n, c) and the output y of the framework in inference, with what it was made with. Whatever is not installed is left
out, with a line that says so, and cases that are there stay: so several environments may write into one folder.

Needs keras and tensorflow-cpu, tf_keras, flax and safetensors, or torch; libdarknet.so of Debian's package darknet is named in
DARKNET.
"""
import ctypes
import json
import os
import struct
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np

folder = sys.argv[1]
cases_path = os.path.join(folder, "conventions.json")
cases = {}
if os.path.exists(cases_path):
    with open(cases_path) as f:
        cases = {(c["file"], c["layer"]): c for c in json.load(f)}
random = np.random.default_rng(7)


def numbers(*shape):
    return random.normal(size=shape).astype(np.float32)


def case(by, file, layer, x, y, arguments=()):
    cases[file, layer] = {"by": by, "file": file, "arguments": list(arguments), "layer": layer,
                          "x": np.asarray(x, np.float64).tolist(), "y": np.asarray(y, np.float64).tolist()}
    print(by, file, layer)


def fill(layer):
    """Other numbers than those with which a layer of Keras begins."""
    layer.set_weights([np.abs(w) + 0.5 if "variance" in v.name else w
                       for v in layer.weights for w in [numbers(*v.shape)]])


def by_keras(keras, by, save):
    inner = keras.Sequential([keras.layers.Input((3,)), keras.layers.BatchNormalization(center=False, name="deep")],
                             name="inner")
    layers = [keras.layers.BatchNormalization(name="first"), keras.layers.BatchNormalization(scale=False, epsilon=0.01),
              keras.layers.Dense(3), inner, keras.layers.BatchNormalization(center=False, scale=False, momentum=0.9)]
    x = keras.Input((3,))
    y = x
    for layer in layers:
        y = layer(y)
    model = keras.Model(x, y)
    for layer in (layers[0], layers[1], inner.layers[-1], layers[4]):
        fill(layer)
    x = numbers(4, 3)
    for file, nested in save(model):
        for layer in (layers[0], layers[1], layers[4]):
            case(by, file, layer.name, x, layer(x, training=False))
        case(by, file, nested, x, inner.layers[-1](x, training=False))


def keras_3():
    import keras

    def save(model):
        model.save(os.path.join(folder, "keras3.keras"))
        yield "keras3.keras", "inner/deep"
        model.save(os.path.join(folder, "keras3.h5"))
        yield "keras3.h5", "inner/deep"

    by_keras(keras, "keras " + keras.__version__, save)
    # a file of weights alone, which says nothing of its layers
    x = keras.Input((3,))
    norm = keras.layers.BatchNormalization(name="alone")
    model = keras.Model(x, norm(keras.layers.Dense(3)(x)))
    fill(norm)
    model.save_weights(os.path.join(folder, "keras3.weights.h5"))
    x = numbers(4, 3)
    case("keras " + keras.__version__, "keras3.weights.h5", "alone", x, norm(x, training=False), ["--eps", "0.001"])


def keras_2():
    import tf_keras

    def save(model):
        model.save(os.path.join(folder, "keras2.h5"))
        yield "keras2.h5", "deep"

    by_keras(tf_keras, "tf_keras " + tf_keras.__version__, save)


def flax():
    import flax
    import flax.linen as nn
    import jax
    from safetensors.numpy import save_file

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.BatchNorm(use_running_average=True, name="first")(x)
            x = nn.Dense(3)(x)
            return nn.BatchNorm(use_running_average=True, use_scale=False, name="second")(x)

    x = numbers(4, 3)
    flat = flax.traverse_util.flatten_dict(Net().init(jax.random.PRNGKey(0), x), sep="/")
    flat = {key: np.abs(numbers(*v.shape)) + np.float32(0.5) for key, v in flat.items()}
    save_file(flat, os.path.join(folder, "flax.safetensors"))
    variables = flax.traverse_util.unflatten_dict(flat, sep="/")
    for name, uses_scale in (("first", True), ("second", False)):
        one = {"params": variables["params"][name], "batch_stats": variables["batch_stats"][name]}
        y = nn.BatchNorm(use_running_average=True, use_scale=uses_scale).apply(one, x)
        case("flax " + flax.__version__, "flax.safetensors", name, x, y, ["--eps", "1e-5"])


def torch():
    import torch
    net = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3, affine=False, eps=1e-3))
    for _ in range(3):
        net(torch.from_numpy(numbers(5, 3)) * 2 + 1)
    net.eval()
    torch.save(net.state_dict(), os.path.join(folder, "torch.pth"))
    x = numbers(4, 3)
    with torch.no_grad():
        case("torch " + torch.__version__, "torch.pth", "0", x, net[0](torch.from_numpy(x)), ["--eps", "1e-5"])


def darknet():
    """Darknet reads a file of ours, and the network computes: so the order of the numbers is Darknet's."""
    library = ctypes.CDLL(os.environ["DARKNET"])
    library.load_network.restype = library.network_predict.restype = ctypes.c_void_p
    library.load_network.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int]
    library.network_predict.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    for name, section, order in (("darknet", "connected", "bwsmv"), ("darknet_conv", "convolutional", "bsmvw")):
        size = "output=3" if section == "connected" else "filters=3\nsize=1\nstride=1\npad=0"
        with open(os.path.join(folder, name + ".cfg"), "w") as f:
            f.write("[net]\nbatch=1\nheight=1\nwidth=1\nchannels=3\n\n[%s]\n%s\nbatch_normalize=1\nactivation=linear\n"
                    % (section, size))
        parts = {"b": numbers(3), "w": np.eye(3, dtype=np.float32), "s": numbers(3), "m": numbers(3), "v": numbers(3) ** 2 + 1}
        with open(os.path.join(folder, name + ".weights"), "wb") as f:
            f.write(struct.pack("<IIIQ", 0, 2, 0, 64) + b"".join(parts[p].astype("<f4").tobytes() for p in order))
        path = os.path.join(folder, name)
        net = library.load_network((path + ".cfg").encode(), (path + ".weights").encode(), 0)
        x = numbers(4, 3)
        y = [np.ctypeslib.as_array((ctypes.c_float * 3).from_address(library.network_predict(net, row.ctypes.data))).copy()
             for row in x]
        case("darknet 0.0.0+git20180914", name + ".weights", "0.batchnorm", x, y)


for make in (keras_3, keras_2, flax, torch, darknet):
    try:
        make()
    except (ImportError, KeyError) as error:
        print("left out: %s: %s" % (make.__name__, error))
with open(cases_path, "w") as f:
    f.write("[" + ",\n".join(json.dumps(cases[key]) for key in sorted(cases)) + "]\n")
