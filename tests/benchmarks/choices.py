"""Single implementation choices against their alternatives: `python -m tests.benchmarks.choices`.

Training steps run in one thread with the settings of a worker, in turns, in one process; process starts run one
after the other. Prints one table of processor seconds; a ratio below 1 means that our choice is faster.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from torch.nn import functional

from lthsweep.launch.process_env import ALLOCATOR_VARIABLES, thread_variables
from lthsweep.models.build import build_model
from lthsweep.models.depthwise import DepthwiseConv2d
from tests.benchmarks.figures import ratios, spread

Act = Callable[[], None]

_IMPORTS = "import torch; from torch import nn; net = nn.Linear(2, 2); "
_STEP = "net(torch.ones(1, 2)).sum().backward(); o.step()"
_OURS = (
    "from lthsweep.training.optimizers import without_compiler; "
    "o = without_compiler(torch.optim.SGD)(net.parameters(), lr=0.1); "
)
_TORCHS = "o = torch.optim.SGD(net.parameters(), lr=0.1); "


@dataclass(frozen=True)
class Choice:
    """Two ways to do the same thing: ours and the alternative."""

    what: str
    ours: Act
    other: Act


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--turns", type=int, default=15)
    turns = parser.parse_args(arguments).turns
    torch.set_num_threads(1)
    print("| what | ours | alternative | ours ÷ alternative |\n|---|---:|---:|---:|")
    for choice in choices():
        print(_row(choice, turns), flush=True)
    return 0


def choices() -> list[Choice]:
    """All choices, in the order of the table."""
    resnet = _stepping(_network({"name": "resnet20"}, 32), 32)
    narrow = {"name": "mobilenet_v2", "width": 0.5, "strides": "cifar"}
    return [
        Choice("step of ResNet-20: ReLU in place, or with a copy", resnet, _copying_relu(resnet)),
        Choice(
            "step of MobileNetV2: ReLU6 with a copy, or in place",
            _stepping(_network(narrow, 16), 16),
            _stepping(_in_place(_network(narrow, 16)), 16),
        ),
        *_in_bf16({"name": "mobilenet_v2", "width": 0.5, "strides": "imagenet"}, side=32, steps=10),
        *_in_bf16(narrow, side=16, steps=10),
        *_in_bf16({"name": "mobilenet_v2", "width": 1.0, "strides": "cifar"}, side=32, steps=2),
        Choice(
            "a process with an optimizer: ours, or torch's",
            _process(_IMPORTS + _OURS + _STEP),
            _process(_IMPORTS + _TORCHS + _STEP),
        ),
        Choice(
            "a process that exits: at once, or with Python's shutdown",
            _process(_IMPORTS + _OURS + _STEP + "; import os; os._exit(0)"),
            _process(_IMPORTS + _OURS + _STEP),
        ),
    ]


def _in_bf16(options: dict[str, Any], *, side: int, steps: int) -> list[Choice]:
    """Depthwise layers in float32, against all layers in bfloat16 and all layers in float32."""
    what = f"MobileNetV2 in bf16, {options['strides']} strides, {side} pixels, width {options['width']}"
    ours = _stepping(_network(options, side), side, steps=steps, bf16=True)
    lower = _stepping(_without_depthwise(_network(options, side)), side, steps=steps, bf16=True)
    upper = _stepping(_network(options, side), side, steps=steps)
    return [
        Choice(f"{what}: depthwise layers in fp32, or in bf16", ours, lower),
        Choice(f"{what}: depthwise layers in fp32, or all in fp32", ours, upper),
    ]


def _row(choice: Choice, turns: int) -> str:
    pairs = [(_seconds(choice.ours), _seconds(choice.other)) for _ in range(turns + 1)]
    ours, other = zip(*pairs[1:], strict=True)  # the first pair is warm-up
    both = " | ".join(f"{spread(some)['median'] * 1e3:.1f} ms" for some in (ours, other))
    ratio = ratios(ours, other)
    return f"| {choice.what} | {both} | {ratio['median']:.3f} ({ratio['low']:.3f}–{ratio['high']:.3f}) |"


def _seconds(act: Act) -> float:
    """Processor seconds of this process and its finished children."""
    before = _used()
    act()
    return _used() - before


def _used() -> float:
    both = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def _network(options: dict[str, Any], side: int) -> nn.Module:
    network = build_model(options, input_shape=(3, side, side), classes=10, seed=0)
    return network.to(memory_format=torch.channels_last)


def _stepping(network: nn.Module, side: int, *, steps: int = 10, bf16: bool = False) -> Act:
    """Training steps of 64 images without an optimizer."""
    images = torch.randn(64, 3, side, side).to(memory_format=torch.channels_last)
    labels = torch.arange(64) % 10

    def act() -> None:
        for _ in range(steps):
            network.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16, cache_enabled=False):
                loss = functional.cross_entropy(network(images), labels)
            loss.backward()

    return act


def _copying_relu(act: Act) -> Act:
    def acted() -> None:
        with patch.object(torch, "relu_", torch.relu):
            act()

    return acted


def _in_place(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, nn.ReLU6):
            module.inplace = True
    return network


def _without_depthwise(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, DepthwiseConv2d):
            module.__class__ = nn.Conv2d
    return network


def _process(code: str) -> Act:
    def act() -> None:
        subprocess.run([sys.executable, "-c", code], check=True)

    return act


if __name__ == "__main__":
    settings = {**ALLOCATOR_VARIABLES, **thread_variables(1)}
    if any(os.environ.get(name) != value for name, value in settings.items()):
        os.execve(sys.executable, [*sys.orig_argv], {**os.environ, **settings})
    sys.exit(main())
