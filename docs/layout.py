"""What channels-last memory and the workers' allocator settings are worth: `python docs/layout.py MODEL`.

Prints training images per second of CPU time on one thread, batch 128 of 3×32×32, for each of three settings.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    "MALLOC_TOP_PAD_": str(64 << 20),
}
BATCH = 128
STEPS = 6


def measure(name: str, layout: str) -> float:
    """Images per second of CPU time: the median step, the first one left out."""
    import torch

    from lthsweep.models.build import build_model

    torch.set_num_threads(1)
    memory_format = getattr(torch, layout)
    options = {"name": name} | ({"strides": "cifar"} if name == "mobilenet_v2" else {})
    model = build_model(options, input_shape=(3, 32, 32), classes=10, seed=0).to(memory_format=memory_format)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, fused=True)
    images = torch.randn(BATCH, 3, 32, 32).contiguous(memory_format=memory_format)
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
    """Measure the three settings, each in a process of its own."""
    if len(arguments) == 2:
        print(f"{measure(*arguments):.0f}")
        return 0
    name = arguments[0] if arguments else "resnet20"
    for label, layout, settings in (
        ("channels first", "contiguous_format", {}),
        ("channels last", "channels_last", {}),
        ("and allocator", "channels_last", ALLOCATOR),
    ):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **settings}
        command = [sys.executable, __file__, name, layout]
        found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        print(f"{name} {label}: {found.stdout.strip()} images/s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
