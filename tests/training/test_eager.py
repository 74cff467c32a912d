"""Optimizers that leave the compiler alone take the steps that torch's own take."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from lthsweep.training.eager import eager

OPTIMIZERS = {
    "sgd": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-2}),
    "adam": (torch.optim.Adam, {"lr": 0.01}),
    "adamw": (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 1e-2}),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_those_of_torch(name):
    """To the last bit, weights and states; and each goes by the name of its class in messages."""
    kind, options = OPTIMIZERS[name]
    torch.manual_seed(0)
    start, gradients = torch.randn(7, 5), torch.randn(4, 7, 5)
    ends = {}
    for each in (kind, eager(kind)):
        weight = torch.nn.Parameter(start.clone())
        optimizer = each([weight], fused=True, **options)
        for gradient in gradients:
            weight.grad = gradient.clone()
            optimizer.step()
        ends[each] = [weight.detach(), *optimizer.state[weight].values()]
        assert type(optimizer).__name__ == kind.__name__

    theirs, ours = ends.values()
    assert all(map(torch.equal, theirs, ours))


@pytest.mark.slow
def test_a_worker_does_not_import_the_compiler():
    """Its import is a second of every worker's start. A process of its own, as this one may have imported it before."""
    program = """
import sys, torch
from lthsweep.training.optimizers import OPTIMIZERS
options = {"lr": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 0.0, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8}
for make in OPTIMIZERS.values():
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    make([weight], options).step()
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False"]
