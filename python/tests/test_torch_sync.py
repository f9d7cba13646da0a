# SPDX-License-Identifier: MIT
"""Synchronized batch norm: processes with parts of a batch give what one with all of it gives."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn
from torch_networks import close, torch
from torch_rank import network, whole

import batchnorm.torch

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="PyTorch has no torch.distributed"
)


def ranks_of(count, case, folder):
    """The results of every rank."""
    out = folder / f"{case.replace(':', '_')}_{count}"
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo"}
    script = str(Path(__file__).with_name("torch_rank.py"))
    command = [sys.executable, script, str(count), f"{out}.store", str(out), case]
    subprocess.run(command, env=environment, timeout=240, check=True)
    return [torch.load(f"{out}.{rank}", weights_only=False) for rank in range(count)]


def joined(results):
    """Results of all ranks as one; what is of the whole batch must be equal."""
    found = []
    for step in zip(*results):
        if len(step[0]) == 1:
            found.append((torch.cat([each[0] for each in step]),))
        elif len(step[0]) == 4:
            assert all(torch.equal(each[i], step[0][i]) for each in step for i in (2, 3))
            found.append(
                (
                    torch.cat([each[0] for each in step]),
                    torch.cat([each[1] for each in step]),
                    *step[0][2:],
                )
            )
        else:
            assert all(torch.equal(a, b) for each in step for a, b in zip(each, step[0]))
            found.append(step[0])
    return found


def test_same_bits_for_any_number_of_ranks(tmp_path):
    alone = joined(ranks_of(1, "layers:4", tmp_path))
    for count in (2, 3, 4):
        several = joined(ranks_of(count, "layers:4", tmp_path))
        for expected, found in zip(alone, several):
            for i, (a, b) in enumerate(zip(expected, found)):
                if len(expected) == 4 and i > 1 and count == 3:
                    torch.testing.assert_close(
                        b, a, rtol=1e-6, atol=0
                    )  # the test multiplies what was divided by 3
                else:
                    assert torch.equal(a, b)


def test_without_grain_equal_up_to_rounding(tmp_path):
    x, dy = whole(dtype=torch.float64)
    results = joined(ranks_of(3, "layers:0", tmp_path))
    layer = nn.BatchNorm2d(6, dtype=torch.float64)
    for y, dx, dweight, dbias in results[:3]:
        mine = x.clone().requires_grad_()
        layer.zero_grad()
        expected = layer(mine)
        expected.backward(dy)
        with torch.no_grad():
            layer.weight.add_(0.25), layer.bias.sub_(0.5)
        for a, b in (
            (y, expected),
            (dx, mine.grad),
            (dweight, layer.weight.grad),
            (dbias, layer.bias.grad),
        ):
            torch.testing.assert_close(a.double(), b.detach(), rtol=1e-5, atol=1e-5)
    for a, b in zip(results[3], layer.buffers()):
        torch.testing.assert_close(a.double(), b.double(), rtol=1e-6, atol=1e-6)


def test_data_parallel_gradients(tmp_path):
    expected = network()
    x, _ = whole()
    expected(x).square().mean().backward()
    for rank in ranks_of(2, "distributed", tmp_path):
        for a, b in zip(rank[0], expected.parameters()):
            torch.testing.assert_close(a, b.grad, rtol=1e-4, atol=1e-5)
        for a, b in zip(rank[1], expected.buffers()):
            close(a, b, torch.float32)


def test_errors_are_told_on_all_ranks(tmp_path):
    for rank in ranks_of(2, "errors", tmp_path):
        assert rank[0].startswith("ValueError: ") and "more than 1 value per channel" in rank[0]
        assert rank[1].startswith("RuntimeError: ") and "do not agree" in rank[1]
        assert rank[2] == (2, 6, 2, 2)


def test_a_part_that_does_not_fit_the_grain_is_named(tmp_path):
    for told, gradient, count in ranks_of(2, "grains:4", tmp_path):
        assert told[0].startswith("every rank's part but the last must be a multiple of the grain")
        assert told[0].endswith("rank 0 of 2 has 5, where 4 or 8 would do")
        assert told[1:] == ["nothing", "nothing"] and count == 2
        assert torch.equal(gradient, torch.full((6,), 16.0))  # of this rank's part alone


def test_one_process():
    torch.manual_seed(0)
    theirs = nn.BatchNorm2d(6)
    for grain in (0, 4):
        ours = batchnorm.torch.SyncBatchNorm(6, grain=grain)
        assert isinstance(ours, nn.modules.batchnorm._BatchNorm)
        x = torch.randn(8, 6, 5, 3)
        for training in (True, False):
            theirs.train(training), ours.train(training)
            ours.load_state_dict(theirs.state_dict())
            xs = [x.clone().requires_grad_() for _ in range(2)]
            ys = theirs(xs[0]), ours(xs[1])
            close(ys[1], ys[0], x.dtype)
            ys[0].square().sum().backward(), ys[1].square().sum().backward()
            close(xs[1].grad, xs[0].grad, x.dtype)
    with pytest.raises(ValueError, match="at least 2D"):
        ours(x[0, 0, 0])
    with pytest.raises(ValueError, match="is for CPUs"):
        ours.to("meta")(x.to("meta"))
    with pytest.raises(ValueError, match="grain"):
        batchnorm.torch.SyncBatchNorm(6, grain=-1)
    with pytest.raises(TypeError, match="grain must be a number of samples"):
        batchnorm.torch.SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm2d(6), grain=4.0)


def test_conversion_keeps_objects_and_subclasses():
    class Own(nn.BatchNorm2d):
        pass

    model = nn.Sequential(nn.BatchNorm2d(3), Own(3), batchnorm.torch.BatchNorm1d(3))
    before = [*model], [id(p) for p in model.parameters()]
    assert batchnorm.torch.SyncBatchNorm.convert_sync_batchnorm(model) is model
    assert ([*model], [id(p) for p in model.parameters()]) == before
    assert [type(layer) for layer in model] == [
        batchnorm.torch.SyncBatchNorm,
        Own,
        batchnorm.torch.SyncBatchNorm,
    ]
