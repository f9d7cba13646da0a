# SPDX-License-Identifier: MIT
"""What torch.jit.script() compiles in place of a fused layer."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ScriptedAct2d(nn.BatchNorm2d):
    """BatchNormAct2d by PyTorch's own operators, in what torch.jit.script() compiles."""

    _activation: tuple[int, float]

    def _norm(self, input: Tensor) -> Tensor:
        """As nn.BatchNorm2d, whose forward cannot be called: scripts know no super()."""
        self._check_input_dim(input)
        factor = 0.0 if self.momentum is None else self.momentum
        counted = self.num_batches_tracked
        if self.training and self.track_running_stats and counted is not None:
            counted.add_(1)
            if self.momentum is None:
                factor = 1.0 / float(counted)
        uses_running = not self.training or self.track_running_stats
        return F.batch_norm(
            input,
            self.running_mean if uses_running else None,
            self.running_var if uses_running else None,
            self.weight,
            self.bias,
            self.training or (self.running_mean is None and self.running_var is None),
            factor,
            self.eps,
        )

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        """act(bn(input) + residual)"""
        y = self._norm(input)
        if residual is not None:
            y = y + residual
        kind, parameter = self._activation
        if kind == 1:
            y = F.relu(y)
        elif kind == 2:
            y = F.leaky_relu(y, parameter)
        elif kind == 3:
            y = F.relu6(y)
        elif kind == 4:
            y = F.hardswish(y)
        elif kind == 5:
            y = torch.sigmoid(y)
        elif kind == 6:
            y = F.silu(y)
        return y
