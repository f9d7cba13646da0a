# SPDX-License-Identifier: MIT
"""The layers `nn.BatchNorm1d`, `2d` and `3d` of PyTorch 2.15, over arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from batchnorm import _core
from batchnorm._checks import check_features, check_setting, check_values, entry, has_numbers
from batchnorm._parameters import IncompatibleKeys, Parameter

_PARAMETERS = ("weight", "bias")
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
_SETTINGS = ("training", "eps", "momentum", "track_running_stats")
_FIXED = ("num_features", "affine")


class BatchNorm:
    """What the three classes have in common; see `BatchNorm2d`."""

    _dims: int
    _version = 2
    num_features: int
    eps: float
    momentum: float | None
    affine: bool
    track_running_stats: bool
    training: bool
    weight: Parameter | None
    bias: Parameter | None
    running_mean: NDArray[Any] | None
    running_var: NDArray[Any] | None
    num_batches_tracked: NDArray[np.int64] | None
    _layer: _core.Layer

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        *,
        bias: bool = True,
    ) -> None:
        if not hasattr(self, "_dims"):
            raise NotImplementedError(
                "BatchNorm is what BatchNorm1d, BatchNorm2d and BatchNorm3d have in common"
            )
        if device is not None and str(device) != "cpu":
            raise ValueError(f"a layer is in the memory of the CPU, and not on {device}")
        self._make(
            num_features, eps, momentum, bool(affine), bool(track_running_stats), dtype, bool(bias)
        )

    def _make(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        dtype: DTypeLike | None,
        bias: bool,
    ) -> None:
        check_features(num_features)
        for name, value in (("eps", eps), ("momentum", momentum)):
            check_setting(name, value)
        type_name = np.dtype(np.float32 if dtype is None else dtype).name
        layer = _core.Layer(
            self._dims, num_features, eps, momentum, affine, bias, track_running_stats, type_name
        )
        self.__dict__.update(
            training=True,
            num_features=num_features,
            eps=eps,
            momentum=momentum,
            affine=affine,
            track_running_stats=track_running_stats,
            **{name: Parameter._of(layer, name) for name in _PARAMETERS},
            **{name: _array(layer.memory(name)) for name in _BUFFERS},
            _layer=layer,
            _dtype=type_name,
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED:
            raise AttributeError(f"{name} is fixed when a layer is made: make another layer")
        if name in _SETTINGS:
            check_setting(name, value)
            self._layer.set(**{name: value})
        elif name in _PARAMETERS or name in _BUFFERS:
            self._assign(name, value)
            return
        self.__dict__[name] = value

    def _assign(self, name: str, value: ArrayLike | None) -> None:
        """Copy values to where the layer has its own; None takes it away for good."""
        own = self.__dict__[name]
        if value is None:
            self._layer.remove(name)
            self.__dict__[name] = None
        elif own is None:
            raise AttributeError(f"the layer has no {name} to which values could be assigned")
        elif value is not own:
            check_values(name, value, own.shape)
            own[...] = value

    def forward(self, x: Any, out: Any = None) -> NDArray[Any]:
        """Normalize `x`, of the shape (N, C, ...).

        `out`: where the result goes, of the same shape and type; x itself is allowed. Otherwise a
        new array of NumPy in the order of memory of x. The layer keeps a reference to x, because
        `backward` needs it, until the next forward or `forget()`.
        """
        return self._layer.forward(x, out)

    def __call__(self, x: Any, out: Any = None) -> NDArray[Any]:
        return self.forward(x, out)

    def backward(self, dy: Any, out: Any = None, *, accumulate: bool = False) -> NDArray[Any]:
        """The gradient of the input of the last forward, given that of its output.

        The gradients of the parameters go to `layer.weight.grad` and `layer.bias.grad`: in place of
        what was there, or added to it with `accumulate`. `out`: as in `forward`; dy itself is
        allowed.
        """
        return self._layer.backward(dy, out, accumulate)

    def forget(self) -> None:
        """Let the input of the last forward go; there can be no backward of it then."""
        self._layer.forget()

    def train(self, mode: bool = True) -> BatchNorm:
        """Training mode: the statistics are those of the batch, and the running ones move."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        return self

    def eval(self) -> BatchNorm:
        """Evaluation mode: the statistics are the running ones."""
        return self.train(False)

    def parameters(self) -> Iterator[Parameter]:
        """Give weight and bias, where the layer has them."""
        return (self.__dict__[name] for name in _PARAMETERS if self.__dict__[name] is not None)

    def zero_grad(self) -> None:
        """Set the gradients to 0."""
        self._layer.zero_grad()

    def reset_running_stats(self) -> None:
        """Begin again with 0, 1 and 0; with track_running_stats off nothing happens."""
        self._layer.reset_running_stats()

    def reset_parameters(self) -> None:
        """Do that, and set weight to 1, bias to 0."""
        self._layer.reset_parameters()

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """What the layer has, under PyTorch's keys: arrays that share its memory."""
        arrays = ((name, self.__dict__[name]) for name in (*_PARAMETERS, *_BUFFERS))
        return {name: array.view(np.ndarray) for name, array in arrays if array is not None}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> IncompatibleKeys:
        """Copy a state into the layer: arrays of any float type, tensors of PyTorch, too.

        Either all of it is taken, or there is an error and nothing was changed.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        version = getattr(state_dict, "_metadata", {}).get("", {}).get("version")
        own = self.state_dict()
        given = {name: entry(value) for name, value in state_dict.items()}
        is_old = self.track_running_stats and (version is None or version < 2)
        missing = [
            name
            for name in own
            if name not in given and not (is_old and name == "num_batches_tracked")
        ]
        unexpected = [name for name in given if name not in own]
        errors = []
        for text, keys in (("Missing", missing), ("Unexpected", unexpected)):
            if strict and keys:
                errors.append(
                    f"{text} key(s) in state_dict: " + ", ".join(f'"{key}"' for key in keys) + ". "
                )
        for name, array in own.items():
            if name in given and not has_numbers(given[name]):
                errors.append(
                    f'While copying the parameter named "{name}", expected an array '
                    f"from checkpoint but received {type(state_dict[name])}. "
                )
                continue
            shape = tuple(given[name].shape) if name in given else array.shape
            if shape != array.shape and (shape, array.shape) != ((1,), ()):
                errors.append(
                    f"size mismatch for {name}: copying a param with shape "
                    f"torch.Size({list(shape)}) from checkpoint, the shape in current model is "
                    f"torch.Size({list(array.shape)})."
                )
        if errors:
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t"
                + "\n\t".join(errors)
            )
        self._layer.load_state(
            tuple((name, given[name]) for name in own if name in given), version or 0, False
        )
        return IncompatibleKeys(missing, unexpected)

    def __repr__(self) -> str:
        text = repr(self._layer)
        return type(self).__name__ + text[text.index("(") :]

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in self.__dict__.items() if name != "_layer"}
        for name in _PARAMETERS:
            parameter = state[name]
            if parameter is not None:
                state[name] = (
                    parameter.view(np.ndarray).copy(),
                    parameter.grad.copy(),
                    parameter.requires_grad,
                )
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        values = {name: state[name] for name in (*_PARAMETERS, *_BUFFERS)}
        num_features, eps, momentum = state["num_features"], state["eps"], state["momentum"]
        self._make(num_features, eps, momentum, state["affine"], True, state["_dtype"], True)
        for name, value in values.items():
            if value is None:
                self._assign(name, None)
            elif name in _BUFFERS:
                self.__dict__[name][...] = value
            else:
                parameter = self.__dict__[name]
                parameter[...], parameter.grad[...], parameter.requires_grad = value
        for name in _SETTINGS:
            setattr(self, name, state[name])
        self.__dict__.update((name, value) for name, value in state.items() if name not in values)


def _array(memory: _core.Memory | None) -> NDArray[Any] | None:
    return None if memory is None else np.asarray(memory)


class BatchNorm1d(BatchNorm):
    """Batch normalization of (N, C) or (N, C, L); see `BatchNorm2d`."""

    _dims = 1


class BatchNorm2d(BatchNorm):
    """Batch normalization of (N, C, H, W): `nn.BatchNorm2d` of PyTorch 2.15.

    y = (x - mean) / sqrt(var + eps) * weight + bias, with the mean and the variance of each
    channel: those of the batch in training mode, the running ones in evaluation mode.

    `num_features`: C. `momentum`: the share of the new statistics in the running ones; None: plain
    averages. `affine`: there is a weight, and a bias if `bias`. `track_running_stats`: there are
    running statistics. `dtype`: of parameters and statistics; float32 for inputs of float32,
    float16 and bfloat16, float64 for inputs of float64.
    """

    _dims = 2


class BatchNorm3d(BatchNorm):
    """Batch normalization of (N, C, D, H, W); see `BatchNorm2d`."""

    _dims = 3
