"""Slots: the device, cores and threads of each worker on one machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lthsweep.errors import LaunchError

__all__ = ["Slot", "core_limit", "count_gpus", "place_workers", "usable_cores"]


@dataclass(frozen=True)
class Slot:
    """Where one worker runs: its device, its cores (empty if it is not pinned) and its number of threads."""

    device: str
    cores: tuple[int, ...]
    threads: int


def usable_cores() -> list[int]:
    """Return the cores that this process can use, by its affinity, which a SLURM job sets."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def core_limit(cores: Sequence[int]) -> int:
    """Return how many single-threaded workers fit: the number of cores, or the CPU quota of a container."""
    quota = _cpu_quota()
    return max(1, min(len(cores), int(quota))) if quota else len(cores)


def count_gpus() -> int:
    """Return the number of visible NVIDIA GPUs, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([part for part in visible.split(",") if part.strip() not in ("", "-1", "NoDevFiles")])
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def place_workers(
    *,
    workers: int | str,
    threads: int,
    devices: str | Sequence[str],
    pin: bool,
    cores: Sequence[int],
    limit: int | None = None,
    gpus: int,
) -> list[Slot]:
    """Return one slot for each worker.

    The default is one single-threaded process pinned to each core, which does 1.2 times the work of one process over
    two cores, or one worker per GPU. More workers share GPUs; measure how many pay (docs/gpu.md).

    Args:
        workers: a number, or "auto".
        threads: threads of each worker.
        devices: "auto", "cpu", or devices such as ["cuda:0", "cuda:1"], which workers take in turn.
        pin: whether to bind each worker to its own cores, if the workers fill all cores. Otherwise the kernel chooses
            cores, because a second coordinator or another container would choose the same first ones.
        cores: cores that can be used.
        limit: largest number of them at a time, see `core_limit`; None for all.
        gpus: number of visible GPUs.

    Raises:
        LaunchError: if a GPU is named that is not visible.
    """
    if devices == "auto":
        chosen = [f"cuda:{number}" for number in range(gpus)] or ["cpu"]
    elif isinstance(devices, str):
        chosen = [devices]
    else:
        chosen = list(devices)
    for device in chosen:
        if device.startswith("cuda") and int(device.partition(":")[2] or 0) >= gpus:
            raise LaunchError(
                f"local.devices names {device}, but {gpus} GPUs are visible; "
                f'use local.devices = "cpu", or check `nvidia-smi -L` and CUDA_VISIBLE_DEVICES'
            )
    on_cpu = chosen == ["cpu"]
    fitting = max(1, (len(cores) if limit is None else limit) // threads) if on_cpu else len(chosen)
    count = fitting if workers == "auto" else int(workers)
    pinned = pin and count * threads == len(cores)
    return [
        Slot(
            device=chosen[number % len(chosen)],
            cores=tuple(cores[number * threads : (number + 1) * threads]) if pinned else (),
            threads=threads,
        )
        for number in range(count)
    ]


def _cpu_quota() -> float | None:
    """Return the CPU quota of the control group, in CPUs; None without a limit."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if limit == "max" else int(limit) / int(period)
