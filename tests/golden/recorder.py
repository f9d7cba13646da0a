# SPDX-License-Identifier: MIT
"""Runs a case in PyTorch and writes it down for test_golden.c.

A case is run twice: as it is, and by a twin of the layer with everything in float64. The twin's results are the expected ones,
so that tolerances can be those of our own rounding; the run in the case's own types must agree with the twin up to PyTorch's
rounding. Where PyTorch is inaccurate or wrong, the case says so, gives the exact values itself, and asserts that PyTorch is
off.

The file holds one statement a line: see test_golden.c, which executes them.
"""

import copy

import numpy as np
import torch

NAMES = {torch.float32: "f32", torch.float64: "f64", torch.bfloat16: "bf16", torch.float16: "f16"}
# Tolerances of one rounding chain: of the type of x, relative, and of the type that is computed in, absolute.
UNIT = {torch.float32: 2.4e-7, torch.float64: 1e-14, torch.bfloat16: 3.94e-3, torch.float16: 4.92e-4}
COMPUTED = {torch.float32: 2.4e-7, torch.float64: 1e-14, torch.bfloat16: 4e-7, torch.float16: 4e-7}
# PyTorch's own rounding, with room: only a gross difference between the two runs is an error.
LOOSE = {torch.float32: 2e-4, torch.float64: 1e-9, torch.bfloat16: 4e-2, torch.float16: 6e-3}

ERRORS = {
    "BAD_RANK": (ValueError, "D input (got "),
    "ONE_VALUE": (ValueError, "Expected more than 1 value per channel"),
    "BAD_EPS": (ValueError, "eps"),
    "BAD_SHAPE": (RuntimeError, "elements not"),
    "BAD_DTYPE": (RuntimeError, ""),
    "NO_STATISTICS": (RuntimeError, "must be defined in evaluation mode"),
}


def text(value, dtype):
    """The shortest decimal that reads back as the same number of the type."""
    value = float(value)
    if value != value:
        return "nan"
    if dtype in (torch.float64, None):
        return repr(value)
    return str(np.float32(value))


def numbers(values, dtype=None):
    flat = torch.as_tensor(values).detach().reshape(-1).to(torch.float64)
    return " ".join(text(v, dtype) for v in flat)


def rounded(values, unit):
    """Expected values need no more digits than their tolerance has."""
    if unit < 1e-9:
        return numbers(values)
    return " ".join(f"{float(v):.9g}" for v in torch.as_tensor(values).detach().reshape(-1).to(torch.float64))


class Layer:
    """A layer, its twin in float64, and what the file calls them."""

    def __init__(self, dims, features, dtype=torch.float32, **options):
        kind = getattr(torch.nn, ("Lazy" if features is None else "") + f"BatchNorm{dims}d")
        arguments = () if features is None else (features,)
        self.own = kind(*arguments, dtype=dtype, **options)
        self.twin = kind(*arguments, dtype=torch.float64, **options)
        self.dtype = dtype

    def both(self):
        return self.own, self.twin


class Case:
    def __init__(self, out, name, note=""):
        self.lines = [f"case {name}"] + ([f"# {note}"] if note else [])
        self.name = name
        self.values = {}
        self.twins = {}
        out.append(self)

    def say(self, *words):
        self.lines.append(" ".join(str(w) for w in words))

    # the layer

    def layer(self, dims, features, dtype=torch.float32, **options):
        self.net = Layer(dims, features, dtype, **options)
        words = [f"{k}={text(v, None) if isinstance(v, float) else str(v).lower()}" for k, v in options.items()]
        self.say("layer", dims, "lazy" if features is None else features, NAMES[dtype], *words)
        return self

    def set(self, name, values):
        for net in self.net.both():
            with torch.no_grad():
                getattr(net, name).copy_(torch.as_tensor(values, dtype=torch.float64))
        # the twin starts from the numbers that the layer can hold
        with torch.no_grad():
            getattr(self.net.twin, name).copy_(getattr(self.net.own, name))
        self.say("set", name, numbers(getattr(self.net.own, name), self.net.dtype))
        return self

    def do(self, *words):
        """A statement that PyTorch has a line of Python for."""
        word, *rest = words
        for net in self.net.both():
            if word == "train":
                net.train()
            elif word == "eval":
                net.eval()
            elif word == "track":
                net.track_running_stats = rest[0]
            elif word == "momentum":
                net.momentum = rest[0]
            elif word == "eps":
                net.eps = rest[0]
            elif word == "remove":
                setattr(net, rest[0], None)
            elif word == "requires":
                getattr(net, rest[0]).requires_grad_(rest[1])
            elif word == "reset_running_stats":
                net.reset_running_stats()
            elif word == "reset_parameters":
                net.reset_parameters()
            elif word == "zero_grad":
                net.zero_grad(set_to_none=False)
            else:
                raise ValueError(word)
        self.say(word, *(str(w).lower() if isinstance(w, (bool, type(None))) else w for w in rest))
        return self

    # tensors

    def tensor(self, name, value):
        """Declares an input with the strides that it has in PyTorch."""
        value = value.detach()
        self.values[name] = value
        self.twins[name] = value.to(torch.float64)
        base = value._base if value._base is not None else value
        storage = torch.empty(0, dtype=value.dtype).set_(base.untyped_storage())
        offset = value.storage_offset()
        self.say("tensor", name, NAMES[value.dtype], value.dim(), *value.shape, *value.stride(), offset, storage.numel(),
                 numbers(storage, value.dtype))
        return self

    def output(self, name, like, memory_format=torch.contiguous_format):
        shape = self.values[like].shape
        empty = torch.empty(shape, memory_format=memory_format)
        self.say("output", name, NAMES[self.values[like].dtype], len(shape), *shape, *empty.stride())
        return self

    def expect(self, name, value, unit, relative=None, note=""):
        scale = unit if relative is None else relative
        self.say("expect", name, f"{unit:.3g}", f"{scale:.3g}", rounded(value, unit))
        if note:
            self.say("#", note)

    def expect_state(self):
        """Buffers as the twin has them. Running statistics round once per update, and cancel for momenta beyond [0, 1]."""
        net, unit = self.net.twin, 4 * UNIT[self.net.dtype]
        for name in ("running_mean", "running_var"):
            value = getattr(net, name)
            if value is None:
                self.say("absent", name)
            else:
                self.expect(name, value, unit)
        counter = net.num_batches_tracked
        if counter is None:
            self.say("absent", "num_batches_tracked")
        else:
            self.expect("num_batches_tracked", counter, 0)

    # calls

    def agree(self, own, twin, what, factor=1):
        own, twin = own.detach().to(torch.float64), twin.detach()
        scale = max(1.0, float(twin[twin.isfinite()].abs().max()) if twin.isfinite().any() else 1.0)
        dtype = next(iter(self.values.values())).dtype
        off = torch.where(twin.isfinite(), (own - twin).abs(), 0.0)
        same = torch.equal(own.isnan(), twin.isnan())
        assert same and (off.numel() == 0 or off.max() <= factor * LOOSE[dtype] * scale), (self.name, what, own, twin)

    def forward(self, x="x", y="y", saved="own", exact=None, state=True, memory_format=torch.contiguous_format):
        """exact: the right result where PyTorch's is inaccurate; it must be off by much more than our tolerance."""
        dtype = self.values[x].dtype
        inputs = {n: self.values[n].clone().requires_grad_() for n in (x,)}
        twins = {n: self.twins[n].clone().requires_grad_() for n in (x,)}
        own, twin = self.net.own(inputs[x]), self.net.twin(twins[x])
        self.run = {saved: (inputs[x], own, twins[x], twin)} | getattr(self, "run", {})
        self.run[saved] = (inputs[x], own, twins[x], twin)
        self.output(y, x, memory_format)
        self.say("forward", x, y, saved, "OK")
        if exact is None:
            self.agree(own, twin, "y")
            exact = twin
        else:
            off = (own.detach().to(torch.float64) - exact).abs().max()
            assert not off <= 20 * UNIT[dtype], (self.name, "PyTorch is not off", off)
            self.say(f"# PyTorch is off by {float(off):.2g} here; the values are exact")
        self.expect(y, exact, COMPUTED[dtype], UNIT[dtype])
        if state:
            self.expect_state()
        return self

    def refuse(self, status, x="x", exception=None, message=""):
        """A forward that PyTorch refuses too. Here nothing changes, so the twin's counter is put back."""
        for net, values in zip(self.net.both(), (self.values, self.values)):
            before = copy.deepcopy(net.state_dict()) if not isinstance(net, torch.nn.modules.lazy.LazyModuleMixin) else None
            kind, part = ERRORS[status]
            try:
                net(values[x])
            except (exception or kind) as error:
                assert (message or part) in str(error), (self.name, error)
            else:
                # float64 inputs are no mixture for the twin
                assert net is self.net.twin and status == "BAD_DTYPE", (self.name, "PyTorch accepts")
            if before is not None:
                net.load_state_dict(before)
        self.output("refused", x)
        self.say("forward", x, "refused", "own", status)
        if message:
            self.say("message", message)
        return self

    def backward(self, dy, saved="own", dx="dx", accumulate=False, exact=None):
        """exact: {name: value} where PyTorch is wrong."""
        x, y, x64, y64 = self.run[saved]
        dtype = self.values[dy].dtype
        nets = self.net.both()
        if not accumulate:
            for net in nets:
                net.zero_grad()
        x.grad = x64.grad = None
        y.backward(self.values[dy], retain_graph=True)
        y64.backward(self.twins[dy], retain_graph=True)
        if dx != "-":
            self.output(dx, dy)
        self.say("backward", saved, "x", dy, dx, "accumulate" if accumulate else "overwrite", "OK")
        got = {"weight.grad": (nets[0].weight, nets[1].weight), "bias.grad": (nets[0].bias, nets[1].bias)}
        if dx != "-":
            self.gradient(dx, x.grad, x64.grad, UNIT[dtype], exact)
        for name, (own, twin) in got.items():
            if own is not None and own.grad is not None:
                # parameters are summed from data of the input's type without rounding it
                self.gradient(name, own.grad, twin.grad, UNIT[self.net.dtype], exact)
        return self

    def gradient(self, name, own, twin, unit, exact):
        value = twin
        if exact is not None and name in exact:
            value = exact[name]
            assert not (twin - value).abs().max() <= 1e-3, (self.name, name, "PyTorch is not off")
            self.say(f"# PyTorch is off by {float((twin - value).abs().max()):.2g} in {name}; the values are exact")
        else:
            self.agree(own, twin, name, 4)
        scale = max(1.0, float(value.abs().max())) if value.numel() else 1.0
        self.expect(name, value, 2 * unit * scale, unit)

    def jvp(self, tx, tweight="-", tbias="-"):
        """Of the last forward on x, in float64."""
        net = self.net.twin
        run = lambda x, w, b: torch.nn.functional.batch_norm(
            x, None if net.training else net.running_mean, None if net.training else net.running_var, w, b, net.training,
            0.0, net.eps)
        tangent = lambda name, like: self.twins[name] if name != "-" else torch.zeros_like(like)
        parts = [(self.twins["x"], self.twins[tx])]
        one = torch.ones(self.twins["x"].shape[1], dtype=torch.float64)
        w = net.weight.detach() if net.weight is not None else one
        b = net.bias.detach() if net.bias is not None else 0 * one
        _, ty = torch.func.jvp(run, (parts[0][0], w, b), (parts[0][1], tangent(tweight, w), tangent(tbias, b)))
        self.output("ty", tx)
        self.say("jvp", "own", "x", tx, tweight, tbias, "ty", "OK")
        unit = UNIT[self.values[tx].dtype]
        self.expect("ty", ty, 2 * unit * max(1.0, float(ty.abs().max())), unit)
        return self

    def double(self, dy, vx="-", vweight="-", vbias="-"):
        """torch.autograd.grad of torch.autograd.grad of the last forward on x, in float64."""
        net = copy.deepcopy(self.net.twin)
        x, g = self.twins["x"].clone().requires_grad_(), self.twins[dy].clone().requires_grad_()
        weight, bias = net.weight, net.bias
        inputs = [x] + [p for p in (weight, bias) if p is not None]
        outputs = torch.autograd.grad(net(x), inputs, g, create_graph=True)
        cotangents = [self.twins[n] if n != "-" else None for n in (vx, vweight, vbias)][: len(inputs)]
        pairs = [(o, v) for o, v in zip(outputs, cotangents) if v is not None]
        wanted = [x, g] + ([weight] if weight is not None else [])
        grads = torch.autograd.grad([o for o, _ in pairs], wanted, [v for _, v in pairs], allow_unused=True)
        gx, gdy, gweight = (list(grads) + [None])[:3]
        self.output("gx", dy)
        self.output("gdy", dy)
        self.say("double", "own", "x", dy, vx, vweight, vbias, "gx", "gdy", "gweight", "OK")
        unit = UNIT[self.values[dy].dtype]
        for name, value, like in (("gx", gx, x), ("gdy", gdy, x), ("gweight", gweight, weight)):
            if like is None:
                continue
            value = torch.zeros_like(like) if value is None else value
            # gx passes through memory of the type of x twice, and its terms cancel
            self.expect(name, value, 8 * unit * max(1.0, float(value.abs().max())), unit)
        return self
