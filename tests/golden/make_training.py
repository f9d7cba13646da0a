#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""make_training.py > training.txt: what torch's optimizers make of three numbers in six steps, and its schedules' rates.

    optimizer KIND momentum nesterov weight_decay beta1 beta2 eps
    step rate g0 g1 g2 p0 p1 p2        (gradients of the step, parameters after it)
    schedule KIND rate warmup steps every factor
    rates r0 r1 r2 ...
"""
import random

import torch
from torch.optim import lr_scheduler


def optimizer(kind, momentum=0.9, nesterov=False, decay=0.0, beta1=0.9, beta2=0.999, eps=1e-8):
    print(f"optimizer {kind} {momentum} {int(nesterov)} {decay} {beta1} {beta2} {eps}")
    p = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
    if kind == "sgd":
        made = torch.optim.SGD([p], lr=1.0, momentum=momentum, nesterov=nesterov, weight_decay=decay)
    else:
        made = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind]([p], lr=1.0, betas=(beta1, beta2), eps=eps,
                                                                           weight_decay=decay)
    draw = random.Random(7)
    for step in range(6):
        rate = 0.25 / (step + 1)
        made.param_groups[0]["lr"] = rate
        p.grad = torch.tensor([draw.uniform(-1, 1) * 10 ** draw.randint(-3, 2) for _ in range(3)])
        made.step()
        print("step", repr(rate), *(f"{v:.9g}" for v in p.grad.tolist()), *(f"{v:.9g}" for v in p.tolist()))


def schedule(kind, rate, warmup, steps, every, factor):
    print(f"schedule {kind} {rate} {warmup} {steps} {every} {factor}")
    sgd = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    if kind == "constant":
        made = lr_scheduler.LambdaLR(sgd, lambda _: 1.0)
    elif kind == "step":
        made = lr_scheduler.StepLR(sgd, every, factor)
    else:
        made = lr_scheduler.CosineAnnealingLR(sgd, steps - warmup)
        if warmup:
            grow = lr_scheduler.LambdaLR(sgd, lambda step: (step + 1) / warmup)
            made = lr_scheduler.SequentialLR(sgd, [grow, made], [warmup])
    rates = []
    for _ in range(steps):
        rates.append(sgd.param_groups[0]["lr"])
        sgd.step()
        made.step()
    print("rates", *(f"{r:.9g}" for r in rates))


print(f"# torch {torch.__version__.split('+')[0]}")
optimizer("sgd", momentum=0.0)
optimizer("sgd", momentum=0.0, decay=0.125)
optimizer("sgd")
optimizer("sgd", decay=0.125)
optimizer("sgd", nesterov=True, decay=0.0625)
optimizer("adam")
optimizer("adam", decay=0.125, beta1=0.75, beta2=0.875, eps=1e-3)
optimizer("adamw", decay=0.125)
schedule("constant", 0.1, 0, 10, 0, 0)
schedule("step", 0.5, 0, 25, 7, 0.25)
schedule("cosine", 0.5, 0, 20, 0, 0)
schedule("cosine", 0.5, 5, 20, 0, 0)
