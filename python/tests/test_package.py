# SPDX-License-Identifier: MIT
"""The package itself: what it exports, its types, its version, its stable ABI."""

import ast
import importlib.util
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import batchnorm
from batchnorm import _core

PACKAGE = pathlib.Path(batchnorm.__file__).parent
TREE = pathlib.Path(__file__).resolve().parents[2]


def run(*arguments, **options):
    return subprocess.run(arguments, capture_output=True, text=True, **options)


def test_version():
    assert batchnorm.__version__ == _core.version()
    header = TREE / "include" / "batchnorm" / "batchnorm.h"
    numbers = re.findall(r"#define BATCHNORM_VERSION_\w+ (\d+)", header.read_text(encoding="utf-8"))
    assert batchnorm.__version__ == ".".join(numbers)
    assert batchnorm.isa() in ("avx512", "avx2", "neon", "generic")


def test_everything_promised_is_there():
    assert sorted(batchnorm.__all__) == batchnorm.__all__
    for name in batchnorm.__all__:
        assert getattr(batchnorm, name).__doc__, name


def test_the_stub_has_what_the_module_has():
    stub = ast.parse((PACKAGE / "_core.pyi").read_text(encoding="utf-8"))
    names = {node.name: node for node in stub.body if hasattr(node, "name")}
    assert set(names) - {"Memory"} == {name for name in dir(_core) if not name.startswith("__")}
    methods = {node.name for node in names["Layer"].body if not node.name.startswith("__")}
    assert methods == {name for name in dir(_core.Layer) if not name.startswith("__")}


def test_types(tmp_path):
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not there")
    assert (PACKAGE / "py.typed").exists()
    (tmp_path / "use.py").write_text(
        "import numpy as np\n"
        "import batchnorm\n"
        "layer = batchnorm.BatchNorm2d(3, momentum=None)\n"
        "reveal_type(layer(np.zeros((2, 3, 4, 4), np.float32)))\n"
        "reveal_type(layer.weight)\n"
    )
    cache = f"--cache-dir={tmp_path}"
    said = run(
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        cache,
        "use.py",
        cwd=tmp_path,
        env={"MYPYPATH": str(PACKAGE.parent)},
    )
    assert said.returncode == 0, said.stdout + said.stderr
    assert "ndarray" in said.stdout and "Parameter | None" in said.stdout


def extensions():
    return sorted(PACKAGE.glob("*.abi3.so"))


def test_extensions_show_only_how_they_begin():
    if not shutil.which("nm"):
        pytest.skip("nm is not there")
    assert extensions()
    for path in extensions():
        said = run("nm", "-D", "--defined-only", path).stdout.split("\n")
        names = [line.split()[-1] for line in said if line]
        assert not [name for name in names if name.startswith(("batchnorm_", "bn_", "bnk_"))], path
        if path.name.startswith("_core"):
            assert names == ["PyInit__core"]


def test_extensions_use_the_stable_abi():
    if importlib.util.find_spec("abi3audit") is None:
        pytest.skip("abi3audit is not there")
    said = run(
        sys.executable,
        "-m",
        "abi3audit",
        "--strict",
        "--assume-minimum-abi3",
        "3.11",
        *extensions(),
    )
    assert said.returncode == 0, said.stdout + said.stderr


def test_a_second_interpreter_has_a_module_of_its_own():
    """What the module keeps is not shared, so that it can be loaded again."""
    spec = importlib.util.spec_from_file_location("batchnorm._core", _core.__file__)
    other = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(other)
    assert other.Layer is not _core.Layer
    layer = other.Layer(2, 3, 1e-5, 0.1, True, True, True, "float32")
    assert repr(layer).startswith("BatchNorm2d(3")
