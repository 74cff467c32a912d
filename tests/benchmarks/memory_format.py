"""Speed of channels-last memory and of the workers' allocator settings: `python -m
tests.benchmarks.memory_format MODEL`.

Prints training images per second of processor time in one thread, batch 128 of 3×32×32, for three settings.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from lthsweep.launch.process_env import ALLOCATOR_VARIABLES

BATCH = 128
STEPS = 6


def measure(name: str, memory_format: str) -> float:
    """Images per second of processor time: the median step, without the first one."""
    import torch

    from lthsweep.models.build import build_model

    torch.set_num_threads(1)
    layout = getattr(torch, memory_format)
    options = {"name": name} | ({"strides": "cifar"} if name == "mobilenet_v2" else {})
    model = build_model(options, input_shape=(3, 32, 32), classes=10, seed=0).to(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, fused=True)
    images = torch.randn(BATCH, 3, 32, 32).contiguous(memory_format=layout)
    labels = torch.randint(10, (BATCH,))
    seconds = []
    for _ in range(STEPS):
        started = time.process_time()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        seconds.append(time.process_time() - started)
    return BATCH / sorted(seconds[1:])[(STEPS - 1) // 2]


def main(arguments: list[str]) -> int:
    """Measure the three settings in separate processes."""
    if len(arguments) == 2:
        print(f"{measure(*arguments):.0f}")
        return 0
    name = arguments[0] if arguments else "resnet20"
    for label, memory_format, settings in (
        ("channels first", "contiguous_format", {}),
        ("channels last", "channels_last", {}),
        ("channels last and allocator", "channels_last", ALLOCATOR_VARIABLES),
    ):
        command = [sys.executable, "-m", "tests.benchmarks.memory_format", name, memory_format]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **settings}
        found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        print(f"{name} {label}: {found.stdout.strip()} images/s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
