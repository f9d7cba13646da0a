#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checkpoints that PyTorch writes, as `inspect` sees them: live_torch.py COMMAND.

Every form and type: `inspect --all --json` lists the tensors of the state with their types and sizes; the batch norms of a
network are found, their unhealthy channels counted; folding by pairs gives the outputs that the network gave. Needs torch and
numpy."""
import json
import os
import struct
import subprocess
import sys
import tempfile

import torch

names = {torch.float32: "FLOAT", torch.float64: "DOUBLE", torch.float16: "FLOAT16", torch.bfloat16: "BFLOAT16",
         torch.int64: "INT64", torch.int32: "INT32", torch.int16: "INT16", torch.int8: "INT8", torch.uint8: "UINT8",
         torch.bool: "BOOL", torch.uint16: "UINT16", torch.uint32: "UINT32", torch.uint64: "UINT64",
         torch.complex64: "COMPLEX64", torch.float8_e4m3fn: "FLOAT8E4M3FN", torch.float8_e5m2: "FLOAT8E5M2"}
protocols = 2, 3, 4, 5
zipped, legacy = {"_use_new_zipfile_serialization": True}, {"_use_new_zipfile_serialization": False}


def run(*arguments):
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


def network():
    torch.manual_seed(1)
    net = torch.nn.Sequential(
        torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU()),
        torch.nn.Sequential(torch.nn.Conv2d(4, 6, 3, groups=2, bias=False), torch.nn.BatchNorm2d(6), torch.nn.ReLU()))
    net.train()
    for _ in range(3):
        net(torch.randn(8, 3, 9, 9))
    return net.eval()


def states():
    net = network()
    state = net.state_dict()
    shared = torch.arange(12.0).reshape(3, 4)
    yield "network", state
    yield "types", {str(t): torch.ones(2, 3).to(t) for t in names}
    yield "views", {"t": shared.t(), "part": shared[1:, 2], "same": shared, "scalar": torch.tensor(2.5),
                    "none": torch.zeros(0, 3)}
    yield "nested", {"a": {"b": torch.ones(2)}, "c": torch.ones(1)}
    yield "parameters", {"p": torch.nn.Parameter(torch.ones(3))}
    yield "training", {"epoch": 3, "state_dict": state, "optimizer": torch.optim.SGD(net.parameters(), 0.1).state_dict()}


def flat(state, prefix=""):
    for key, value in state.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def check_state(command, folder, name, state, form):
    path = os.path.join(folder, f"{name}.pth")
    torch.save(state, path, **form)
    seen = json.loads(run(command, "inspect", "--all", "--json", path))
    wanted = [(n, names[t.dtype], list(t.shape)) for n, t in flat(state.get("state_dict", state))]
    found = [(t["name"], t["type"], t["shape"]) for t in seen["tensors"]]
    assert found == wanted, (name, form, found, wanted)
    if "state_dict" in state:
        assert seen["skipped"] == ["epoch", "optimizer"], seen["skipped"]
    return path


def load_safetensors(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    header.pop("__metadata__", None)
    return {n: torch.frombuffer(bytearray(data[slice(*t["data_offsets"])]), dtype=torch.float32).reshape(t["shape"])
            for n, t in header.items()}


def check_folding(command, folder, path):
    net, out = network(), os.path.join(folder, "folded.safetensors")
    x = torch.randn(2, 3, 9, 9)
    y = net(x)
    run(command, "fold", path, "-o", out, "--pair", "*.0=*.1", "--eps", "1e-5", "--require-all")
    folded = torch.nn.Sequential(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Identity(), torch.nn.ReLU()),
                                 torch.nn.Sequential(torch.nn.Conv2d(4, 6, 3, groups=2), torch.nn.Identity(), torch.nn.ReLU()))
    folded.load_state_dict(load_safetensors(out))
    assert torch.allclose(folded(x), y, atol=1e-5), (folded(x) - y).abs().max()


def check_types(command, folder):
    """What is not folded comes out with the same bytes, or nothing does."""
    path, out = os.path.join(folder, "types.pth"), os.path.join(folder, "types.safetensors")
    pair = {"conv.weight": torch.rand(2, 1, 1, 1), "bn.running_mean": torch.rand(2), "bn.running_var": torch.rand(2)}
    arguments = ("-o", out, "--pair", "conv=bn", "--eps", "1e-5")
    kept = {str(t): torch.ones(3).to(t) for t in names}
    kept["beyond"], kept["negative"] = torch.tensor([2**62 + 1]), torch.rand(3, dtype=torch.complex64).conj().imag
    for form in (zipped, legacy):
        torch.save({**pair, **kept}, path, **form)
        run(command, "fold", path, *arguments)
        with open(out, "rb") as f:
            header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
            data = f.read()
        for name, t in kept.items():
            wanted = t.resolve_neg().contiguous().view(torch.uint8).numpy().tobytes()
            assert data[slice(*header[name]["data_offsets"])] == wanted, (name, form)
        os.remove(out)
        for odd in (torch.ones(2, dtype=torch.complex128), torch.eye(2).to_sparse(), [torch.ones(2)],
                    torch.ones(2, dtype=torch.complex64).conj()):
            torch.save({**pair, "odd": odd}, path, **form)
            done = subprocess.run([command, "fold", path, *arguments], capture_output=True, text=True)
            assert done.returncode == 1 and 'the tensor "odd" would be lost' in done.stderr, done.stderr
            assert not os.path.exists(out)


def check_refusals(command, folder):
    path = os.path.join(folder, "module.pth")
    torch.save(network(), path)
    done = subprocess.run([command, "inspect", path], capture_output=True, text=True)
    assert done.returncode == 1 and "save model.state_dict()" in done.stderr, done.stderr
    torch.save({"epoch": 1, "model": network(), "optimizer": None}, path)
    done = subprocess.run([command, "inspect", path], capture_output=True, text=True)
    assert done.returncode == 1 and "save model.state_dict()" in done.stderr, done.stderr
    torch.save(torch.nn.Parameter(torch.ones(2)), path)
    done = subprocess.run([command, "inspect", path], capture_output=True, text=True)
    assert done.returncode == 1 and "one tensor without a name" in done.stderr, done.stderr
    torch.jit.script(network()).save(path)
    done = subprocess.run([command, "inspect", path], capture_output=True, text=True)
    assert done.returncode == 1 and "TorchScript" in done.stderr, done.stderr


def main(command):
    with tempfile.TemporaryDirectory() as folder:
        checked = 0
        for name, state in states():
            for form in [{**f, "pickle_protocol": p} for f in (zipped, legacy) for p in protocols]:
                path = check_state(command, folder, name, state, form)
                checked += 1
                if name != "network":
                    continue
                seen = json.loads(run(command, "inspect", "--json", path))
                assert [(n["name"], n["channels"], n["num_batches_tracked"]) for n in seen["batch_norms"]] == [
                    ("0.1", 4, 3), ("1.1", 6, 3)], seen
                check_folding(command, folder, path)
        check_types(command, folder)
        check_refusals(command, folder)
        print(f"{checked} checkpoints of PyTorch {torch.__version__}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: live_torch.py COMMAND")
    main(sys.argv[1])
