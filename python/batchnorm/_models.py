# SPDX-License-Identifier: MIT
"""Models in files: `inspect` and `fold`, as the command has them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from batchnorm import _core

_ILLNESSES = (
    "var_negative",
    "var_zero",
    "var_subnormal",
    "var_below_eps",
    "weight_small",
    "not_finite",
)
_SAFETENSORS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8"}


def _path(path: str | os.PathLike[str] | bytes) -> bytes:
    """The path as the library takes it; FileNotFoundError and its like come from here."""
    name = os.fsencode(path)  # no number: open() would take it for a descriptor, and close it
    with open(name, "rb"):
        return name


def _named(
    path: str | None, call: Callable[..., dict[str, Any]], *arguments: Any
) -> dict[str, Any]:
    """A call of the library whose messages name the file."""
    try:
        return call(*arguments)
    except (OSError, ValueError) as error:
        if path is None:
            raise
        raise type(error)(f"{path}: {error}") from None


def _is_healthy(norm: dict[str, Any], is_state: bool) -> bool:
    if (
        norm["training"]
        or norm.get("num_batches_tracked") == 0
        or any(norm[illness] for illness in _ILLNESSES)
    ):
        return False
    if norm["channels"] is None:
        return True
    if norm["never_moved"] and norm["never_moved"] == norm["channels"]:
        return False
    return is_state or not norm["eps_in_file"] or (norm["eps"] is not None and norm["eps"] > 0)


def _safetensors(path: bytes) -> tuple[dict[str, Any], dict[str, str]] | None:
    """The arrays and the metadata of a safetensors file, mapped; None if it is none."""
    with open(path, "rb") as file:
        first = file.read(9)
        if len(first) < 9 or first[8:] != b"{" or first[6:8] != b"\0\0":
            return None
        header_bytes = int.from_bytes(first[:8], "little")
        if header_bytes > os.fstat(file.fileno()).st_size - 8:
            raise ValueError("the header of the safetensors file is longer than the file")
        header = json.loads(first[8:] + file.read(header_bytes - 1))
    arrays: dict[str, Any] = {}
    data = np.memmap(path, np.uint8, "r")
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = (8 + header_bytes + offset for offset in entry["data_offsets"])
        if (
            entry["dtype"] == "BF16"
        ):  # NumPy has no such type; the upper halves of floats are what it is
            wide = np.zeros((end - begin) // 2, np.uint32)
            wide[:] = data[begin:end].view("<u2")
            arrays[name] = (wide << 16).view(np.float32).reshape(entry["shape"])
        elif entry["dtype"] in _SAFETENSORS:
            arrays[name] = (
                np.array(data[begin:end]).view(_SAFETENSORS[entry["dtype"]]).reshape(entry["shape"])
            )
    return arrays, header.get("__metadata__", {})


def _told_eps(metadata: dict[str, str]) -> float:
    try:
        eps = float(metadata.get("batchnorm.eps", "nan"))
    except ValueError:
        return 0.0
    return eps if 0 < eps <= 1 else 0.0


def inspect(
    model: str | os.PathLike[str] | bytes | Mapping[str, Any],
    *,
    tensors: bool = False,
    eps: float = 0.0,
    follow_symlinks: bool = False,
    assume_constant: bool = False,
) -> dict[str, Any]:
    """The batch norms of a model, what is unhealthy about them, and what each could be folded into.

    `model`: the path of an ONNX file, of a PyTorch checkpoint, of which nothing is run, of a
    Darknet network (.weights, with its .cfg beside it) or of a safetensors file; or a state, a
    mapping of names to arrays. `tensors`: list its tensors instead. `eps`: of all batch norms of a
    state, which does not tell it. `follow_symlinks`, `assume_constant`: as the options of
    `batchnorm inspect`. The result is what `batchnorm inspect --json` prints, but that batch norms
    of a state are those with PyTorch's names alone.
    """
    result: dict[str, Any] = {}
    kind = None
    if isinstance(model, Mapping):
        source: Any = tuple(model.items())
    else:
        source = _path(model)
        result["file"] = os.fsdecode(source)
        opened = _safetensors(source)
        if opened is not None:
            kind, eps = "safetensors", eps or _told_eps(opened[1])
            source = tuple(opened[0].items())
    settings = (follow_symlinks, assume_constant, False, eps, tensors)
    result.update(_named(result.get("file"), _core.inspect, source, settings))
    result["format"] = kind or result["format"]
    if tensors:
        return result
    norms = result["batch_norms"]
    for norm in norms:
        norm["healthy"] = _is_healthy(norm, result["format"] != "ONNX")
    result["count"] = len(norms)
    result["channels"] = sum(norm["channels"] or 0 for norm in norms)
    result["foldable"] = sum(norm["fold"] != "left" for norm in norms)
    result["unhealthy"] = sum(not norm["healthy"] for norm in norms)
    result["unread"] = sum(norm["channels"] is None for norm in norms)
    return result


def fold(
    model: str | os.PathLike[str] | bytes,
    output: str | os.PathLike[str] | bytes,
    *,
    rewrite: bool = False,
    follow_symlinks: bool = False,
    assume_constant: bool = False,
) -> dict[str, Any]:
    """Fold what can be folded of the batch norms of an ONNX model, and write it to another file.

    Only what can be folded exactly is. Numbers are computed in double and rounded once. `rewrite`:
    what cannot be folded becomes a Mul and an Add. The result is what `batchnorm fold --json`
    prints: `batch_norms` says what became of each, and why one was left.
    """
    path, to = _path(model), os.fsencode(output)
    settings = (follow_symlinks, assume_constant, rewrite, 0.0, False)
    folded = _named(os.fsdecode(path), _core.fold, path, to, settings)
    norms = folded.pop("batch_norms")
    left = sum(norm["fold"] == "left" for norm in norms)
    names = {"model": os.fsdecode(path), "output": os.fsdecode(to)}
    return {**names, "count": len(norms), "left": left, **folded, "batch_norms": norms}
