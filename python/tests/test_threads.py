# SPDX-License-Identifier: MIT
"""Threads: no bit depends on them; the GIL is free; fork and exit."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import batchnorm


@pytest.fixture(autouse=True)
def threads():
    before = batchnorm.get_num_threads()
    yield
    batchnorm.set_num_threads(before)


def bits(x):
    layer = batchnorm.BatchNorm2d(x.shape[1])
    y = layer(x)
    dx = layer.backward(y)
    arrays = (y, dx, layer.weight.grad, layer.running_var, batchnorm.statistics(x).var)
    return b"".join(array.tobytes() for array in arrays)


def test_the_number_can_be_set():
    assert batchnorm.get_num_threads() == len(os.sched_getaffinity(0))
    batchnorm.set_num_threads(3)
    assert batchnorm.get_num_threads() == 3
    for wrong, error in (
        (0, ValueError),
        (-1, ValueError),
        (2**80, ValueError),
        (1.5, TypeError),
        ("2", TypeError),
    ):
        with pytest.raises(error):
            batchnorm.set_num_threads(wrong)
    assert batchnorm.get_num_threads() == 3


@pytest.mark.parametrize("last", [False, True])
def test_bits_do_not_depend_on_threads(last, rng):
    x = rng.normal(1, 2, (8, 64, 40, 40)).astype(np.float32)
    if last:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    batchnorm.set_num_threads(1)
    wanted = bits(x)
    for count in (2, 3, 8, 2, 1):
        batchnorm.set_num_threads(count)
        assert bits(x) == wanted, count


def test_threads_are_used_and_end(rng):
    def running():
        return len(os.listdir("/proc/self/task"))

    x = rng.random((8, 64, 40, 40), np.float32)
    batchnorm.set_num_threads(1)
    before = running()
    batchnorm.set_num_threads(4)
    bits(x)
    assert running() == before + 3
    batchnorm.set_num_threads(2)
    bits(x)
    assert running() == before + 1
    batchnorm.set_num_threads(1)
    bits(x)
    assert running() == before


def test_layers_in_many_threads(rng):
    """Layers of their own, and one layer that all use: its calls wait for each other."""
    x = rng.random((8, 32, 40, 40), np.float32)
    wanted, shared, wrong = bits(x), batchnorm.BatchNorm2d(32), []

    def work():
        for _ in range(5):
            shared(x)
            if bits(x) != wanted:
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        batchnorm.set_num_threads(1 + int(time.monotonic() * 1000) % 4)
    for worker in workers:
        worker.join()
    assert not wrong and shared.num_batches_tracked == 30


def test_the_gil_is_free_in_a_call(rng):
    x = rng.random((64, 64, 56, 56), np.float32)
    batchnorm.set_num_threads(1)
    layer, ticks, done = batchnorm.BatchNorm2d(64), 0, []
    worker = threading.Thread(target=lambda: (layer(x), done.append(1)))
    worker.start()
    while not done:
        ticks += 1
        time.sleep(0)
    worker.join()
    assert ticks > 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork(rng):
    x = rng.random((8, 32, 40, 40), np.float32)
    batchnorm.set_num_threads(3)
    wanted = bits(x)
    stop = threading.Event()

    def work():
        while not stop.is_set():
            bits(x)

    busy = threading.Thread(target=work)
    busy.start()
    for _ in range(5):
        child = os.fork()
        if child == 0:
            os._exit(0 if bits(x) == wanted and batchnorm.get_num_threads() == 3 else 1)
        assert os.waitpid(child, 0)[1] == 0
    stop.set()
    busy.join()
    assert bits(x) == wanted


@pytest.mark.parametrize(
    "end",
    ["", "os._exit(0)", "threading.Thread(target=work, daemon=True).start()", "raise SystemExit"],
)
def test_exit(end):
    """A program ends at once, whatever its threads do."""
    program = f"""
import os, threading
import numpy as np
import batchnorm
batchnorm.set_num_threads(3)
x = np.ones((8, 32, 40, 40), np.float32)
def work():
    while True:
        batchnorm.BatchNorm2d(32)(x)
batchnorm.BatchNorm2d(32)(x)
{end}
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
