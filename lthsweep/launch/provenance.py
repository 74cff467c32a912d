"""The provenance of a record: place, time, versions and inputs. The key depends on none of them."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy
import torch

__all__ = ["processor_name", "provenance"]

_LAUNCHER_VARIABLES = (
    "SLURM_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_RESTART_COUNT",
    "OMPI_COMM_WORLD_RANK",
    "PMI_RANK",
)


def provenance(
    device: torch.device,
    *,
    attempt: int,
    precision: str,
    started: float,
    data_fingerprint: str,
    weights_read: Mapping[str, str],
) -> dict[str, Any]:
    """Return versions, commit, machine, device, threads, attempt, times (seconds since the epoch), hashes of inputs."""
    return {
        "lthsweep": _package_version(),
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "platform": platform.platform(),
        "processor": processor_name(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "device": _device_name(device),
        "threads": torch.get_num_threads(),
        "cores": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [],
        "precision": precision,
        "attempt": attempt,
        "started": started,
        "finished": time.time(),
        "data_fingerprint": data_fingerprint,
        "weights_read": dict(weights_read),
        "launcher": {name: os.environ[name] for name in _LAUNCHER_VARIABLES if name in os.environ},
        "command": Path(sys.argv[0]).name,
    }


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@cache
def _package_version() -> str:
    try:
        return version("lthsweep")
    except PackageNotFoundError:
        return "not installed"


@cache
def _commit() -> str:
    """Return the commit of a source checkout, with `+` if files have changed; empty for an installed package."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return ""
    try:
        described = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return described.stdout.strip()


@cache
def processor_name() -> str:
    """Model name of the processor; empty if unknown."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
