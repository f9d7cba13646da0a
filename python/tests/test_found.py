# SPDX-License-Identifier: MIT
"""What once was wrong, in arrays and files."""

import faulthandler
import os
import signal
import threading

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


def test_a_layer_that_was_in_use_works_in_a_child():
    layer, x = batchnorm.BatchNorm1d(64), np.ones((512, 64), np.float32)
    stop = threading.Event()

    def use():
        while not stop.is_set():
            layer(x)

    thread = threading.Thread(target=use)
    faulthandler.register(signal.SIGALRM, chain=True)
    thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                signal.alarm(100)  # one that hangs says where, and ends
                layer(x)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        thread.join()
        faulthandler.unregister(signal.SIGALRM)
