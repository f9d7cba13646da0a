#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Folds all models of make_models.py with the command: check_models.py COMMAND [NAME...].

Of each: as many batch norms are left as its line in list.txt says; --explain has a line for each, in the order of the file; the
result passes onnx.checker and gives in ONNX Runtime, with its optimizations off, what the model gave; with --rewrite, too;
what did not change is byte for byte what it was. Of every model that the onnx package ships, `inspect --all` lists the tensors
that the package finds. Needs onnx, onnxruntime and numpy."""
import glob
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

here = os.path.dirname(os.path.abspath(__file__))
# ONNX Runtime has no Conv of doubles; and takes no spatial = 0.
in_reference = {"float64"}
not_run = {"spatial_0_by_mistake"}
failures = []
counts = {}


def check(ok, what):
    if not ok:
        failures.append(what)
        print("FAILED:", what)


def run(*arguments):
    done = subprocess.run(arguments, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)}: {done.returncode} {done.stderr}")
    return done.stdout


def graphs_of(model):
    """All graphs of a model, and the bodies of its functions."""
    waiting = [model.graph, *model.functions]
    while waiting:
        g = waiting.pop(0)
        yield g
        for n in g.node:
            for a in n.attribute:
                waiting += ([a.g] if a.HasField("g") else []) + list(a.graphs)


def norms_of(model):
    return [n for g in graphs_of(model) for n in g.node if n.op_type == "BatchNormalization"]


def feeds_of(model):
    rng = np.random.default_rng(7)
    known = {t.name for t in model.graph.initializer}
    feeds = {}
    for i in model.graph.input:
        if i.name in known:
            continue
        t = i.type.tensor_type
        shape = [d.dim_value for d in t.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(t.elem_type)
        feeds[i.name] = np.array(True) if dtype == bool else rng.uniform(-1, 1, shape).astype(dtype)
    return feeds


def outputs_of(name, path, feeds):
    if name in in_reference:
        return ReferenceEvaluator(path).run(None, feeds)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, feeds)


def is_close(a, b):
    bound = {np.dtype(np.float16): 5e-3, np.dtype(np.float64): 1e-12}.get(a.dtype, 2e-5)
    scale = max(1.0, float(np.max(np.abs(a[np.isfinite(a)]), initial=0)))
    with np.errstate(invalid="ignore"):
        same = np.isclose(a.astype(np.float64), b.astype(np.float64), rtol=0, atol=bound * scale, equal_nan=True)
    return a.dtype == b.dtype and a.shape == b.shape and bool(same.all())


def check_outputs(name, before, after, what):
    if name in not_run:
        return
    feeds = feeds_of(onnx.load(before))
    pairs = list(zip(outputs_of(name, before, feeds), outputs_of(name, after, feeds)))
    check(pairs and all(is_close(a, b) for a, b in pairs), f"{name}: outputs of the {what} model differ: {pairs}")


def check_same_bytes(name, model, folded):
    """Nodes and initializers that are in both are byte for byte the same, in the same order."""
    for field in ("node", "initializer"):
        old = [m.SerializeToString() for m in getattr(model.graph, field)]
        new = [m.SerializeToString() for m in getattr(folded.graph, field)]
        kept = [m for m in new if m in old]
        places = [old.index(m) for m in kept]
        check(places == sorted(places), f"{name}: {field}s are in another order")
    for field in ("ir_version", "producer_name", "producer_version", "domain", "model_version", "doc_string"):
        check(getattr(model, field) == getattr(folded, field), f"{name}: {field} changed")


def check_model(command, name, left, folder):
    path, out, rewritten = (f"{folder}/{n}" for n in (f"{name}.onnx", "out.onnx", "rewritten.onnx"))
    model = onnx.load(path)
    all_norms = norms_of(model)
    told = json.loads(run(command, "fold", path, "-o", out, "--json"))
    folded = onnx.load(out)
    onnx.checker.check_model(out, full_check=True)
    check(len(norms_of(folded)) == left, f"{name}: {len(norms_of(folded))} are left, not {left}")
    check((told["count"], told["left"]) == (len(all_norms), left), f"{name}: it tells {told['count']}, {told['left']}")
    check(sum(n["fold"] == "left" for n in told["batch_norms"]) == left, f"{name}: outcomes")
    check(all(("why" in n) == (n["fold"] == "left") for n in told["batch_norms"]), f"{name}: reasons {told}")
    check(told["bytes"] == os.path.getsize(out), f"{name}: bytes")
    lines = run(command, "fold", path, "-o", out, "--explain").splitlines()
    check(len(lines) == len(all_norms) + 2, f"{name}: {len(lines)} lines of --explain")
    if all(n.name for n in all_norms):
        names = [n.name for n in all_norms]
        check(sorted(line.split(": ")[0] for line in lines[: len(names)]) == sorted(names), f"{name}: names {lines}")
    check_outputs(name, path, out, "folded")
    check_same_bytes(name, model, folded)
    if told["tensors"] == 0:
        check(open(path, "rb").read() == open(out, "rb").read(), f"{name}: bytes change although nothing is folded")
    rewriting = json.loads(run(command, "fold", path, "-o", rewritten, "--rewrite", "--json"))
    onnx.checker.check_model(rewritten, full_check=True)
    check(len(norms_of(onnx.load(rewritten))) == rewriting["left"] <= left, f"{name}: --rewrite leaves {rewriting}")
    check_outputs(name, path, rewritten, "rewritten")
    if name.startswith("ceil_mode_"):
        is_refused = name in ("ceil_mode_skips", "ceil_mode_skips_in_one_axis", "ceil_mode_skips_by_stride")
        check(rewriting["left"] == (left if is_refused else 0), f"{name}: --rewrite leaves {rewriting['left']}")
        check(is_refused == ("ceil_mode" in str(rewriting["batch_norms"])), f"{name}: {rewriting['batch_norms']}")
    again = json.loads(run(command, "fold", out, "-o", rewritten, "--json"))
    check(again["left"] == again["count"] == left, f"{name}: folding again changes something")
    counts["left"] = counts.get("left", 0) + left
    counts["norms"] = counts.get("norms", 0) + len(all_norms)


def tensors_of(model):
    """(name, type, shape) of initializers and of tensors of attributes."""
    for g in graphs_of(model):
        for t in getattr(g, "initializer", []):
            yield t.name, onnx.TensorProto.DataType.Name(t.data_type), list(t.dims)
        for n in g.node:
            for a in n.attribute:
                if a.HasField("t"):
                    yield a.t.name, onnx.TensorProto.DataType.Name(a.t.data_type), list(a.t.dims)


def check_package(command):
    """What the walker sees of every model that the package ships."""
    paths = sorted(glob.glob(os.path.join(os.path.dirname(onnx.__file__), "backend/test/data/**/*.onnx"), recursive=True))
    read = 0
    for first in range(0, len(paths), 200):
        some = paths[first:first + 200]
        lines = subprocess.run([command, "inspect", "--all", "--json", *some], capture_output=True, text=True)
        told = {o["file"]: o for o in map(json.loads, lines.stdout.splitlines())}
        for path in some:
            model = onnx.load(path, load_external_data=False)
            check(path in told, f"{path}: {lines.stderr[-300:]}")
            if path not in told:
                continue
            read += 1
            found = [(t["name"], t["type"], t["shape"]) for t in told[path]["tensors"]]
            wanted = [(n, k, s) for n, k, s in tensors_of(model)]
            check(sorted(found) == sorted(wanted), f"{path}: {found} instead of {wanted}")
    print(f"{read} of {len(paths)} models of the onnx package {onnx.__version__} are seen alike")
    check(read > 100, "hardly any model was found")


def main(command, only):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, f"{here}/make_models.py", folder], check=True)
        with open(f"{folder}/list.txt") as listing:
            rows = [line.split() for line in listing]
        for name, before, left in rows:
            if only and name not in only:
                continue
            try:
                check_model(command, name, int(left), folder)
            except Exception as error:  # pylint: disable=broad-except
                check(False, f"{name}: {type(error).__name__}: {str(error)[:500]}")
    print(f"{len(rows)} models, {counts.get('norms')} batch norms, {counts.get('left')} are left;"
          f" onnx {onnx.__version__}, ONNX Runtime {onnxruntime.__version__}")
    if not only:
        check_package(command)
    return 1 if failures else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: check_models.py COMMAND [NAME...]")
    sys.exit(main(sys.argv[1], sys.argv[2:]))
