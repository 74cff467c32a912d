"""A sweep that trains in seconds, and the processes that run it as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.launch.processes import PATIENCE

TINY = """
[sweep]
name = "tiny"
model = {{ name = "lenet_300_100" }}
data = {{ name = "digits", size = 8, validation = 100 }}

[train]
epochs = {epochs}
batch_size = 32
optimizer = {{ name = "sgd", lr = {lr}, momentum = 0.9, weight_decay = 1e-4 }}

[prune]
schedule = "{schedule}"
rewind = "weights+optimizer"

[grid]
sparsity = [0.5, 0.8]
rewind_epoch = [0, 1]
seed = {seeds}

[local]
workers = 2
checkpoint_seconds = {checkpoint_seconds}
"""


def write_tiny(
    folder: Path,
    *,
    epochs: int = 2,
    lr: float = 0.05,
    schedule: str = "one-shot",
    seeds: str = "[0]",
    checkpoint_seconds: float = 300,
) -> Path:
    """The tiny sweep's TOML file: one dense run and four tickets per seed."""
    path = folder / "tiny.toml"
    path.write_text(
        TINY.format(
            epochs=epochs, lr=lr, schedule=schedule, seeds=seeds, checkpoint_seconds=checkpoint_seconds
        )
    )
    return path


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "lthsweep", *map(str, arguments)]


def environment(cache: Path) -> dict[str, str]:
    return {**os.environ, "LTHSWEEP_CACHE": str(cache), "COLUMNS": "120"}


def lthsweep(
    *arguments: str | Path, cache: Path, timeout: float = PATIENCE
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        env=environment(cache),
        timeout=timeout,
        check=False,
    )
