# SPDX-License-Identifier: MIT
"""The tutorial's two programs say the same with NumPy and with PyTorch."""

import pathlib
import re
import subprocess
import sys

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = TREE / "python" / "examples"
NUMBER = re.compile(r"-?\d+\.\d*(?:e-?\d+)?|-?\d+")


def run(source):
    return subprocess.run(
        [sys.executable, "-c", source], check=True, capture_output=True, text=True
    ).stdout


def numbers(text):
    return [float(number) for number in NUMBER.findall(text)]


def source_of(name):
    return (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")


def test_batchnorm1d():
    said = run(source_of("batchnorm1d"))
    mean, var = said.replace("\n", " ").split("running_var:")
    assert (
        all(abs(value - 0.05) < 1e-3 for value in numbers(mean)[:16]) and len(numbers(mean)) == 16
    )
    assert (
        all(abs(value - (0.9 + 0.1 / 12)) < 1e-3 for value in numbers(var))
        and len(numbers(var)) == 16
    )


def test_batchnorm2d():
    lines = [
        line for line in run(source_of("batchnorm2d")).splitlines() if line.startswith("training")
    ]
    assert [line.split(":")[0] for line in lines] == [
        "training True",
        "training False",
        "training False",
        "training True",
    ]
    means, batches = [numbers(line)[1] for line in lines], [numbers(line)[-1] for line in lines]
    assert abs(means[0]) < 1e-4 and abs(means[3]) < 1e-4 and means[1] == means[2] > 0.1
    assert batches == [1, 1, 1, 2]


@pytest.mark.parametrize("name", ["batchnorm1d", "batchnorm2d"])
def test_the_same_with_pytorch(name):
    """The body runs with PyTorch as it stands, on the same numbers, and says the same."""
    pytest.importorskip("torch")
    head, body = re.split(r"(?m)^layer = ", source_of(name), maxsplit=1)
    theirs = "from torch import nn, from_numpy\n" + head.replace(
        "import batchnorm as nn", ""
    ).replace("return np.random", "return from_numpy(np.random").replace(
        "np.float32)", "np.float32))"
    )
    mine, own = (numbers(run(f"{start}\nlayer = {body}")) for start in (head, theirs))
    assert len(mine) == len(own) > 16
    assert all(abs(a - b) <= 1e-4 for a, b in zip(mine, own))


@pytest.mark.parametrize("page", ["README.md", "python/README.md"])
def test_the_programs_of_the_front_pages(page):
    """What the pages show runs, all blocks of a page as one program."""
    text = (TREE / page).read_text(encoding="utf-8")
    blocks = re.findall(r"(?ms)^```python\n(.*?)^```$", text)
    assert blocks
    blocks = [block for block in blocks if "torch" not in block]
    assert "BatchNorm2d(16, eps=1e-05" in run("\n".join(blocks))
