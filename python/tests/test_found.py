# SPDX-License-Identifier: MIT
"""What once was wrong, in arrays and files."""

import os
import subprocess
import sys

import numpy as np
import pytest

import batchnorm


def test_a_number_is_no_path_and_stays_open(tmp_path):
    descriptor = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    with pytest.raises(TypeError):
        batchnorm.inspect(descriptor)
    with pytest.raises(TypeError):
        batchnorm.fold(descriptor, tmp_path / "out")
    os.fstat(descriptor)
    os.close(descriptor)


def test_a_scalar_of_bfloat16_is_refused():
    scalar = pytest.importorskip("ml_dtypes").bfloat16(1)
    with pytest.raises((TypeError, ValueError)):
        batchnorm.BatchNorm1d(3)(scalar)


FORKS = """
import faulthandler, os, signal, threading
import numpy as np
import batchnorm

layer, x = batchnorm.BatchNorm1d(64), np.ones((512, 64), np.float32)
stop = threading.Event()

def use():
    while not stop.is_set():
        layer(x)

faulthandler.register(signal.SIGALRM, chain=True)
thread = threading.Thread(target=use, daemon=True)
thread.start()
for _ in range(5):
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # one that hangs says where, and ends
        layer(x)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
thread.join()
"""


def test_a_layer_that_was_in_use_works_in_a_child():
    # In a process of its own, without other libraries' threads: what is forked is the layer's.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", FORKS], env=environment, check=True, timeout=120)
