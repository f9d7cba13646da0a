#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes vectors.txt: what PyTorch 2.15 does, for test_golden.c.

    python3 make_golden.py            (needs torch 2.15; run it from a directory that holds no torch package)

The names of the cases begin with the section of docs/semantics.md that they belong to. Long because it is a list of cases.
"""

import math
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from recorder import COMPUTED, NAMES, UNIT, Case, numbers  # noqa: E402

CASES = []
F32, F64, BF16, F16 = torch.float32, torch.float64, torch.bfloat16, torch.float16
SHAPES = {1: (4, 3, 5), 2: (2, 3, 2, 3), 3: (2, 2, 2, 1, 3)}
random = np.random.default_rng(20261123)


def data(*shape, dtype=F32, scale=1.0, offset=0.0):
    """Normal numbers on a grid of 1/16 (so that every type holds them and the file stays small), then shifted."""
    values = np.round(random.standard_normal(shape) * scale * 16) / 16 + offset
    return torch.tensor(values, dtype=dtype)


def case(name, note=""):
    return Case(CASES, name, note)


def parameters(c, features):
    """Parameters that are neither 1 nor 0."""
    return c.set("weight", data(features, offset=1.0)).set("bias", data(features))


def constructor():
    for dims in (1, 2, 3):
        options = ({}, {"affine": False}, {"bias": False}, {"affine": False, "bias": True}, {"track_running_stats": False},
                   {"eps": 1e-3, "momentum": None}, {"momentum": 0.25, "affine": False, "track_running_stats": False},
                   {"eps": 1e-12, "momentum": 1.0}, {"eps": 0.1, "momentum": -1.2}, {"momentum": 0.0}, {"eps": 123456789.0},
                   {"eps": 2.5e-7, "momentum": 1e16}, {"eps": 1e22, "momentum": 0.1 + 0.2})
        for i, o in enumerate(options):
            c = case(f"1.constructor.{dims}d_options_{i}").layer(dims, 2 + i, **o)
            state = c.net.own.state_dict()
            c.say("keys", *state.keys())
            c.say("repr", repr(c.net.own))
            for name, value in state.items():
                c.expect(name, value, 0)
    c = case("1.constructor.no_features").layer(1, 0)
    c.say("repr", repr(c.net.own))
    c.say("keys", *c.net.own.state_dict().keys())
    case("1.constructor.negative_features").say("create_fails", 1, -1, "f32", "BAD_OPTION")
    try:
        torch.nn.BatchNorm1d(-1)
        raise AssertionError("PyTorch accepts -1")
    except RuntimeError:
        pass
    c = case("1.constructor.resets").layer(1, 3)
    parameters(c, 3).set("running_mean", [1, 2, 3]).set("running_var", [4, 5, 6]).set("num_batches_tracked", 7)
    c.do("reset_running_stats")
    for name, value in c.net.own.state_dict().items():
        c.expect(name, value, 0)
    c.set("running_mean", [1, 2, 3]).do("reset_parameters")
    for name, value in c.net.own.state_dict().items():
        c.expect(name, value, 0)
    c = case("1.constructor.lazy").layer(2, None)
    c.say("repr", repr(c.net.own))
    c.say("keys")
    c.tensor("x", data(2, 3, 2, 2)).forward()
    c.say("repr", repr(c.net.own))
    c.say("keys", *c.net.own.state_dict().keys())


def ranks():
    for dims in (1, 2, 3):
        for rank in range(0, 7):
            x = data(*(3, 2, 2, 1, 2, 2)[:rank]) if rank else torch.tensor(1.0)
            c = case(f"2.rank.{dims}d_of_{rank}d").layer(dims, 2).tensor("x", x)
            if rank in {1: (2, 3), 2: (4,), 3: (5,)}[dims]:
                c.forward()
                continue
            try:
                c.net.own(x)
                raise AssertionError
            except ValueError as error:
                c.refuse("BAD_RANK", message=str(error))
            c.expect_state()


def one_value():
    for dims, shape in ((1, (1, 3)), (1, (1, 3, 1)), (2, (1, 3, 1, 1)), (3, (1, 3, 1, 1, 1))):
        name = "x".join(map(str, shape))
        c = case(f"2.one_value.train_{name}", "PyTorch has counted the batch by then; here nothing changes")
        c.layer(dims, 3).tensor("x", data(*shape)).refuse("ONE_VALUE").expect_state()
        c = case(f"2.one_value.eval_{name}").layer(dims, 3)
        c.set("running_mean", data(3)).set("running_var", data(3).abs() + 0.5).do("eval").tensor("x", data(*shape)).forward()
        c = case(f"2.one_value.eval_without_statistics_{name}", "evaluation uses the batch here")
        c.layer(dims, 3, track_running_stats=False).do("eval").tensor("x", data(*shape)).refuse("ONE_VALUE")
    case("2.one_value.two_in_space").layer(1, 3).tensor("x", data(1, 3, 2)).forward()


def sizes():
    c = case("2.channels.too_many").layer(1, 3).tensor("x", data(4, 5)).refuse("BAD_SHAPE").expect_state()
    c = case("2.channels.too_few").layer(2, 3).tensor("x", data(2, 2, 3, 3)).refuse("BAD_SHAPE").expect_state()
    c = case("2.channels.unbatched_trap", "(C, L) without a batch: dimension 1 is taken for the channels")
    c.layer(1, 3).tensor("x", data(3, 7)).refuse("BAD_SHAPE")
    for options in ({"affine": False}, {"track_running_stats": False}, {"affine": False, "track_running_stats": True}):
        c = case("2.channels.with_" + "_".join(f"{k}_{v}".lower() for k, v in options.items()))
        c.layer(1, 3, **options).tensor("x", data(4, 5)).refuse("BAD_SHAPE")
    c = case("2.channels.eval").layer(1, 3).do("eval").tensor("x", data(4, 5)).refuse("BAD_SHAPE")
    for name in ("running_mean", "running_var"):
        c = case(f"2.statistics.eval_without_{name}").layer(1, 3).do("remove", name).do("eval")
        c.tensor("x", data(4, 3)).refuse("NO_STATISTICS")
        c = case(f"2.statistics.train_without_{name}").layer(1, 3).do("remove", name).tensor("x", data(4, 3))
        c.refuse("NO_STATISTICS", exception=ValueError, message="must either both be None or neither be None")
    for name in ("weight", "bias"):
        c = case(f"2.parameters.without_{name}").layer(1, 3)
        parameters(c, 3).do("remove", name).tensor("x", data(4, 3)).forward()


def eps():
    for value, mode, status in ((0.0, "train", "BAD_EPS"), (-1e-5, "train", "BAD_EPS"), (-1e-5, "eval", "BAD_EPS"),
                                (0.0, "eval", "OK"), (1e-30, "train", "OK"), (10.0, "train", "OK"), (10.0, "eval", "OK")):
        c = case(f"2.eps.{mode}_{value:g}").layer(1, 3, eps=value).set("running_var", [0.5, 1, 2]).do(mode)
        c.tensor("x", data(5, 3))
        c.forward() if status == "OK" else c.refuse(status).expect_state()
    c = case("2.eps.zero_without_statistics", "evaluation uses the batch here")
    c.layer(1, 3, eps=0.0, track_running_stats=False).do("eval").tensor("x", data(5, 3)).refuse("BAD_EPS")


def order():
    """Which of two faults is reported."""
    case("2.order.rank_before_one_value").layer(2, 3).tensor("x", data(1, 3)).refuse("BAD_RANK")
    case("2.order.rank_before_eps").layer(2, 3, eps=0.0).tensor("x", data(4, 3)).refuse("BAD_RANK")
    case("2.order.one_value_before_eps").layer(1, 3, eps=0.0).tensor("x", data(1, 3)).refuse("ONE_VALUE")
    case("2.order.one_value_before_channels").layer(1, 3).tensor("x", data(1, 5)).refuse("ONE_VALUE")
    case("2.order.eps_before_channels").layer(1, 3, eps=0.0).tensor("x", data(4, 5)).refuse("BAD_EPS")
    case("2.order.eps_before_empty").layer(1, 3, eps=0.0).tensor("x", data(0, 3)).refuse("BAD_EPS").expect_state()
    case("2.order.channels_before_type").layer(1, 3).tensor("x", data(4, 5, dtype=F64)).refuse("BAD_SHAPE")


def combinations():
    """The table of docs/semantics.md section 3: mode, flag, buffers."""
    for dims in (1, 2, 3):
        shape = SHAPES[dims]
        for training in (True, False):
            for built_with in (True, False):
                for flag in (True, False):
                    mode, buffers = "train" if training else "eval", "with" if built_with else "without"
                    name = f"3.{dims}d.{mode}_{buffers}_buffers_flag_{flag}"
                    c = case(name.lower()).layer(dims, shape[1], track_running_stats=built_with)
                    parameters(c, shape[1])
                    if built_with:
                        c.set("running_mean", data(shape[1])).set("running_var", data(shape[1]).abs() + 0.5)
                    if flag != built_with:
                        c.do("track", flag)
                    c.do("train" if training else "eval").tensor("x", data(*shape, offset=2.0)).forward()
                    c.tensor("x2", data(*shape, offset=-1.0)).forward("x2", "y2")
    for momentum in (0.25, None):
        c = case(f"3.counter_removed.momentum_{momentum}".lower()).layer(1, 3, momentum=momentum)
        c.do("remove", "num_batches_tracked").tensor("x", data(4, 3, offset=2.0)).forward()


def running():
    for momentum in (None, 0.0, 1.0, 0.1, 0.5, 2.0, -0.5, -1.2):
        for dtype in (F32, F64):
            c = case(f"4.momentum.{momentum}_{NAMES[dtype]}".lower()).layer(1, 2, dtype, momentum=momentum)
            for i, shape in enumerate(((3, 2, 2), (2, 2, 5), (7, 2), (0, 2), (2, 2, 3))):
                c.tensor(f"x{i}", data(*shape, dtype=dtype, offset=float(i))).forward(f"x{i}", f"y{i}")
    c = case("4.momentum.to_none_midway", "the count goes on from where it is").layer(1, 2)
    for i in range(5):
        if i == 2:
            c.do("momentum", None)
        c.tensor(f"x{i}", data(4, 2, offset=float(i))).forward(f"x{i}", f"y{i}")
    c.do("momentum", 0.5).tensor("x", data(4, 2)).forward()
    c = case("4.eval.keeps_everything").layer(1, 2, momentum=None).tensor("x", data(4, 2, offset=3.0)).forward().do("eval")
    c.forward("x", "y2").do("train").forward("x", "y3")
    c = case("4.eval.differs_at_momentum_1", "the running variance is unbiased, the one in use is not")
    c.layer(1, 2, momentum=1.0).tensor("x", data(4, 2, offset=3.0)).forward().do("eval").forward("x", "y2")
    c = case("4.sequence.with_half_inputs").layer(2, 3)
    for i, dtype in enumerate((BF16, F16, F32, BF16)):
        c.tensor(f"x{i}", data(2, 3, 2, 2, dtype=dtype, offset=float(i))).forward(f"x{i}", f"y{i}")


def special():
    for shape, dims in (((0, 3), 1), ((0, 3, 4), 1), ((2, 3, 0), 1), ((2, 3, 0, 4), 2), ((0, 3, 2, 2, 2), 3)):
        name = "x".join(map(str, shape))
        c = case(f"5.empty.train_{name}").layer(dims, 3).tensor("x", data(*shape)).forward().tensor("dy", data(*shape))
        c.backward("dy")
        c = case(f"5.empty.eval_{name}").layer(dims, 3).do("eval").tensor("x", data(*shape)).forward()
        c.tensor("dy", data(*shape)).backward("dy")
    c = case("5.empty.channels_are_not_checked").layer(1, 3).tensor("x", data(0, 5)).forward()
    c = case("5.empty.eval_without_statistics").layer(1, 3).do("remove", "running_mean").do("eval").tensor("x", data(0, 3))
    c.forward()
    c = case("5.empty.one_value_is_not_asked").layer(1, 3).tensor("x", data(1, 3, 0)).forward()
    c = case("5.empty.no_channels_without_parameters").layer(1, 0, affine=False).tensor("x", data(4, 0)).forward()
    for name, bad in (("nan", math.nan), ("inf", math.inf), ("minus_inf", -math.inf)):
        for dtype in (F32, F64, BF16, F16):
            x = data(4, 3, 2, dtype=dtype)
            x[1, 1, 0] = bad
            c = case(f"5.{name}.train_{NAMES[dtype]}").layer(1, 3, F64 if dtype == F64 else F32).tensor("x", x).forward()
            c.tensor("x2", data(4, 3, 2, dtype=dtype)).forward("x2", "y2")
            c = case(f"5.{name}.eval_{NAMES[dtype]}").layer(1, 3, F64 if dtype == F64 else F32).do("eval").tensor("x", x)
            c.forward()
    c = case("5.running_var.odd", "negative, infinite, zero, tiny, huge").layer(1, 5)
    c.set("running_var", [-1.0, math.inf, 0.0, 1e-42, 1e38]).set("bias", [1, 2, 3, 4, 5]).do("eval")
    c.tensor("x", data(3, 5)).forward()
    c = case("5.momentum.inf_stays_in_its_channel").layer(1, 2, momentum=math.inf)
    c.say("# momentum infinite: (1 - inf) * running + inf * new")
    c.tensor("x", data(4, 2, offset=2.0)).forward()


def inaccurate():
    """Where PyTorch loses digits in float32. The exact values come from the twin in float64."""
    for offset in (1e3, 1e4, 1e6, -1e6, 1e7):
        for shape, where in (((2, 2, 3, 4), "nchw"), ((16, 2), "rows")):
            x = data(*shape, offset=offset)
            c = case(f"5.offset.{offset:g}_{where}").layer(2 if len(shape) == 4 else 1, 2)
            parameters(c, 2).tensor("x", x)
            exact = F.batch_norm(x.double(), None, None, c.net.own.weight.double(), c.net.own.bias.double(), True).detach()
            own = F.batch_norm(x, None, None, c.net.own.weight, c.net.own.bias, True).detach().double()
            c.forward(exact=exact if (own - exact).abs().max() > 1e-5 else None)
    for value in (1e4, 12000001.0, 1e10, 1e30, -7e5):
        x = torch.full((2, 2, 3, 3), value)
        c = case(f"5.constant.{value:g}").layer(2, 2).set("weight", [3.0, 1e4]).set("bias", [0.1, -2.0]).tensor("x", x)
        exact = c.net.own.bias.detach().double()[None, :, None, None].expand(2, 2, 3, 3)
        own = c.net.own(x).detach().double()
        c.net.own.reset_running_stats()
        c.forward(exact=exact if (own - exact).abs().max() > 1e-5 else None, state=False)
        c.expect("y", exact.float(), 0, note="to the last bit")
    for scale in (1e20, 1e25):
        x = torch.tensor(np.round(random.standard_normal((8, 2)) * 16) / 16 * scale, dtype=F32)
        c = case(f"5.huge.{scale:g}", "the sum of squares does not fit a float").layer(1, 2).tensor("x", x)
        c.forward(exact=F.batch_norm(x.double(), None, None, training=True), state=False)


def types():
    for dtype in (F32, F64, BF16, F16):
        for dims in (1, 2, 3):
            shape = SHAPES[dims]
            c = case(f"6.{NAMES[dtype]}.{dims}d").layer(dims, shape[1], F64 if dtype == F64 else F32)
            parameters(c, shape[1]).tensor("x", data(*shape, dtype=dtype, offset=0.5)).forward()
            c.tensor("dy", data(*shape, dtype=dtype)).backward("dy").do("eval").forward("x", "y2")
            c.backward("dy", dx="dx2")
    case("6.mixed.f64_input_f32_layer").layer(1, 3).tensor("x", data(4, 3, dtype=F64)).refuse("BAD_DTYPE").expect_state()
    case("6.mixed.f32_input_f64_layer").layer(1, 3, F64).tensor("x", data(4, 3)).say("refused_by_own f32")
    CASES[-1].lines.pop()
    c = CASES[-1]
    try:
        c.net.own(c.values["x"])
        raise AssertionError("PyTorch accepts")
    except RuntimeError:
        c.net.own.reset_running_stats()
    c.output("y", "x")
    c.say("forward", "x", "y", "own", "BAD_DTYPE")
    c.expect_state()


def layouts():
    base = {
        "channels_last": (2, lambda d: data(2, 3, 4, 2, dtype=d).to(memory_format=torch.channels_last)),
        "channels_last_3d": (3, lambda d: data(2, 3, 2, 2, 2, dtype=d).to(memory_format=torch.channels_last_3d)),
        "transposed": (1, lambda d: data(3, 5, dtype=d).t()),
        "nlc_as_ncl": (1, lambda d: data(4, 5, 3, dtype=d).transpose(1, 2)),
        "sliced_channels": (1, lambda d: data(4, 7, 3, dtype=d)[:, 1:6:2]),
        "sliced_batch_and_space": (2, lambda d: data(5, 2, 4, 6, dtype=d)[::2, :, 1::2, ::3]),
        "permuted_space": (2, lambda d: data(2, 3, 4, 2, dtype=d).permute(0, 1, 3, 2)),
        "expanded_batch": (1, lambda d: data(1, 3, 4, dtype=d).expand(5, 3, 4)),
        "expanded_space": (2, lambda d: data(4, 3, 1, 1, dtype=d).expand(4, 3, 2, 3)),
        "expanded_channels": (1, lambda d: data(4, 1, 3, dtype=d).expand(4, 3, 3)),
    }
    for name, (dims, make) in base.items():
        for dtype in (F32, BF16):
            x = make(dtype)
            c = case(f"7.{name}.{NAMES[dtype]}").layer(dims, x.shape[1])
            parameters(c, x.shape[1]).tensor("x", x).forward().tensor("dy", data(*x.shape, dtype=dtype)).backward("dy")
            if dims == 2:
                c.forward("x", "y2", memory_format=torch.channels_last)
            c.do("eval").forward("x", "y3").backward("dy", dx="dx2")
    c = case("7.gradient_of_a_sum", "dy with stride 0").layer(1, 3).tensor("x", data(4, 3, 2)).forward()
    c.tensor("dy", torch.ones(1).expand(4, 3, 2)).backward("dy")


def gradients():
    for mode in ("train", "eval"):
        for dtype in (F32, F64, BF16, F16):
            for mask in range(8):
                c = case(f"8.mask.{mode}_{NAMES[dtype]}_{mask:03b}").layer(1, 2, F64 if dtype == F64 else F32)
                parameters(c, 2).set("running_mean", data(2)).set("running_var", data(2).abs() + 0.5).do(mode)
                c.do("requires", "weight", bool(mask & 2)).do("requires", "bias", bool(mask & 4))
                c.tensor("x", data(3, 2, 2, dtype=dtype, offset=1.0)).tensor("dy", data(3, 2, 2, dtype=dtype)).forward()
                c.backward("dy", dx="dx" if mask & 1 else "-")
        for options in ({"affine": False}, {"bias": False}):
            c = case(f"8.absent.{mode}_{'_'.join(options)}").layer(1, 2, **options).do(mode)
            c.tensor("x", data(4, 2, 2)).tensor("dy", data(4, 2, 2)).forward().backward("dy")
        c = case(f"8.accumulate.{mode}").layer(1, 2)
        parameters(c, 2).do(mode).tensor("x", data(4, 2)).tensor("dy", data(4, 2)).tensor("dz", data(4, 2)).forward()
        c.backward("dy").backward("dz", accumulate=True, dx="dx2").backward("dz", accumulate=True, dx="-")
        c.do("zero_grad").backward("dy", accumulate=True, dx="dx4").backward("dz", dx="dx3")
    c = case("8.backward.two_values", "dx vanishes with eps").layer(1, 2)
    c.tensor("x", data(2, 2, scale=3.0)).tensor("dy", data(2, 2)).forward().backward("dy")
    c = case("8.backward.of_an_earlier_forward", "two forwards, then the backward of the first")
    parameters(c.layer(1, 2), 2).tensor("x", data(4, 2)).tensor("z", data(4, 2, offset=3.0)).tensor("dy", data(4, 2))
    c.forward("x", "y", "first").forward("z", "y2").backward("dy", "first")
    stale()


def stale():
    """Forward in evaluation, a training forward that moves the running statistics, backward of the first: PyTorch uses the
    moved ones. The right gradient uses those that the forward used."""
    c = case("8.backward.eval_before_the_statistics_moved", "PyTorch uses the moved ones").layer(1, 2, momentum=1.0)
    parameters(c, 2).set("running_mean", [0.5, -1.0]).set("running_var", [1.0, 4.0]).do("eval")
    x, dy = data(5, 2), data(5, 2)
    c.tensor("x", x).tensor("dy", dy).tensor("z", data(5, 2, scale=8.0, offset=30.0)).forward("x", "y", "first")
    rstd = 1 / torch.sqrt(torch.tensor([1.0, 4.0], dtype=F64) + 1e-5)
    xhat = (x.double() - torch.tensor([0.5, -1.0], dtype=F64)) * rstd
    weight = c.net.own.weight.detach().double()
    exact = {"dx": weight * rstd * dy.double(), "weight.grad": (dy.double() * xhat).sum(0)}
    c.do("train").forward("z", "y2").backward("dy", "first", exact=exact)


def misread():
    """Strides that are channels-last but for a size of 1: PyTorch 2.15 adds up the wrong elements of dy."""
    c = case("8.backward.ambiguous_strides").layer(3, 3)
    x = data(4, 2, 3).as_strided((4, 3, 1, 1, 2), (6, 1, 6, 1, 3))
    dy = data(4, 3, 1, 1, 2)
    parameters(c, 3).tensor("x", x).tensor("dy", dy)
    same = [t.double().clone(memory_format=torch.contiguous_format).requires_grad_() for t in
            (x.contiguous(), c.net.own.weight.detach(), c.net.own.bias.detach())]
    y = F.batch_norm(same[0], None, None, same[1], same[2], True)
    dx, dweight, dbias = torch.autograd.grad(y, same, dy.double())
    assert (dbias - dy.double().sum((0, 2, 3, 4))).abs().max() < 1e-12
    c.twins["x"] = x.double().as_strided(x.shape, x.stride())
    c.forward().backward("dy", exact={"dx": dx, "weight.grad": dweight, "bias.grad": dbias})


def higher():
    for mode in ("train", "eval"):
        for dtype in (F32, F64, BF16, F16):
            for i, (vx, vweight, vbias) in enumerate((("vx", "vw", "vb"), ("vx", "-", "-"), ("-", "vw", "-"), ("vx", "vw", "-"),
                                                      ("-", "vw", "vb"))):
                if dtype in (BF16, F16) and i > 1:
                    continue
                c = case(f"8.double.{mode}_{NAMES[dtype]}_{i}").layer(1, 2, F64 if dtype == F64 else F32)
                parameters(c, 2).set("running_mean", data(2)).set("running_var", data(2).abs() + 0.5).do(mode)
                c.tensor("x", data(4, 2, 2, dtype=dtype, offset=1.0)).tensor("dy", data(4, 2, 2, dtype=dtype)).forward()
                parameter = F64 if dtype == F64 else F32
                c.tensor("vx", data(4, 2, 2, dtype=dtype)).tensor("vw", data(2, dtype=parameter))
                c.tensor("vb", data(2, dtype=parameter)).double("dy", vx, vweight, vbias)
            for i, (tweight, tbias) in enumerate((("tw", "tb"), ("-", "-"), ("tw", "-"), ("-", "tb"))):
                if dtype in (BF16, F16) and i > 1:
                    continue
                c = case(f"8.jvp.{mode}_{NAMES[dtype]}_{i}").layer(1, 2, F64 if dtype == F64 else F32)
                parameters(c, 2).set("running_mean", data(2)).set("running_var", data(2).abs() + 0.5).do(mode)
                c.tensor("x", data(4, 2, 2, dtype=dtype, offset=1.0)).forward().tensor("tx", data(4, 2, 2, dtype=dtype))
                parameter = F64 if dtype == F64 else F32
                c.tensor("tw", data(2, dtype=parameter)).tensor("tb", data(2, dtype=parameter)).jvp("tx", tweight, tbias)
        c = case(f"8.double.{mode}_no_parameters").layer(2, 2, affine=False).do(mode)
        c.tensor("x", data(3, 2, 2, 2)).tensor("dy", data(3, 2, 2, 2)).tensor("vx", data(3, 2, 2, 2)).forward()
        c.double("dy", "vx").tensor("tx", data(3, 2, 2, 2)).jvp("tx")


def functional():
    """The functional form takes any rank from 2 on: here that is the raw interface."""
    for shape in ((4, 3), (2, 3, 4), (2, 3, 2, 2), (2, 2, 1, 3, 1, 2), (2, 2, 1, 1, 2, 1, 2)):
        for training in (True, False):
            for with_parameters in (True, False):
                for dtype in (F32, F64, BF16, F16):
                    functional_case(shape, training, with_parameters, dtype)


def functional_case(shape, training, with_parameters, dtype):
    features, parameter = shape[1], F64 if dtype == F64 else F32
    rank, mode = len(shape), "train" if training else "eval"
    c = case(f"functional.{rank}d.{mode}_{NAMES[dtype]}_{'with' if with_parameters else 'without'}_parameters")
    c.tensor("x", data(*shape, dtype=dtype, offset=1.0))
    tensors = {"w": data(features, offset=1.0, dtype=parameter), "b": data(features, dtype=parameter)}
    statistics = {"m": data(features, dtype=parameter), "v": data(features, dtype=parameter).abs() + 0.5}
    used = (tensors if with_parameters else {}) | (statistics if with_parameters or not training else {})
    for name, value in used.items():
        c.tensor(name, value)
    twin = {k: v.clone() for k, v in c.twins.items()}
    y = F.batch_norm(twin["x"], twin.get("m"), twin.get("v"), twin.get("w"), twin.get("b"), training, 0.25, 1e-3)
    c.output("y", "x")
    c.say("functional", mode, "x", "y", *(n if n in used else "-" for n in "wbmv"), 0.25, 1e-3, "OK")
    c.expect("y", y, COMPUTED[dtype], UNIT[dtype])
    for name in "mv":
        if name in used:
            c.expect(name, twin[name], UNIT[parameter])


def states():
    """Loading: which keys are missing or too many, and what an old version number excuses."""
    full = {"weight": [2, 3], "bias": [4, 5], "running_mean": [6, 7], "running_var": [8, 9], "num_batches_tracked": 11}
    rows = [("all", {}, list(full), 2, True), ("without_counter_v2", {}, list(full)[:4], 2, True),
            ("without_counter_v1", {}, list(full)[:4], 1, True), ("without_counter_lenient", {}, list(full)[:4], 2, False),
            ("without_bias", {}, ["weight"] + list(full)[2:], 2, True), ("bias_too_many", {"bias": False}, list(full), 2, True),
            ("bias_too_many_lenient", {"bias": False}, list(full), 2, False),
            ("statistics_too_many", {"track_running_stats": False}, list(full), 2, True),
            ("parameters_too_many_lenient", {"affine": False}, list(full), 2, False), ("nothing_lenient", {}, [], 2, False),
            ("nothing", {}, [], 2, True)]
    for name, options, keys, version, strict in rows:
        c = case(f"9.load.{name}").layer(1, 2, **options)
        if options.get("track_running_stats", True):
            c.set("num_batches_tracked", 3)
        state = {k: torch.tensor(full[k], dtype=torch.int64 if k == "num_batches_tracked" else F32) for k in keys}
        for key in keys:
            c.say("state", key, numbers(state[key]))
        ordered = type(c.net.own.state_dict())(state)
        ordered._metadata = {"": {"version": version}}
        try:
            c.net.own.load_state_dict(ordered, strict)
            status = "OK"
        except RuntimeError as error:
            status = "MISSING_KEY" if "Missing key" in str(error) else "UNEXPECTED_KEY"
            c.say("# PyTorch has copied the keys that fit by then; here nothing changes")
        c.say("load", version, int(strict), status)
        if status == "OK":
            for key, value in c.net.own.state_dict().items():
                c.expect(key, value, 0)
    c = case("9.load.wrong_size").layer(1, 2)
    for key, value in full.items():
        c.say("state", key, numbers(torch.tensor([1.0, 2.0, 3.0]) if key == "running_mean" else torch.tensor(value)))
    c.say("load", 2, 1, "BAD_SHAPE")


def main():
    assert torch.__version__.startswith("2.15"), f"the vectors are those of PyTorch 2.15, this is {torch.__version__}"
    torch.set_num_threads(1)
    for part in (constructor, ranks, one_value, sizes, eps, order, combinations, running, special, inaccurate, types, layouts,
                 gradients, misread, higher, functional, states):
        part()
    names = [c.name for c in CASES]
    assert len(set(names)) == len(names), [n for n in names if names.count(n) > 1]
    head = ["# Golden vectors for test_golden.c, from PyTorch 2.15 (CPU). Made by make_golden.py; do not edit."]
    body = "\n".join(head + [line for c in CASES for line in c.lines]) + "\n"
    pathlib.Path(__file__).with_name("vectors.txt").write_text(body)
    print(f"{len(CASES)} cases, {len(body)} bytes")


if __name__ == "__main__":
    main()
