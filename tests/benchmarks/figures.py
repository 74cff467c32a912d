"""Medians with their spread, and the conditions under which they were measured."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lthsweep.launch.slots import usable_cores

__all__ = ["Busy", "conditions", "ratios", "spread"]


def spread(values: Iterable[float]) -> dict[str, Any]:
    """Median, lowest and highest value, and all values in the order of measurement."""
    measured = list(values)
    return {
        "median": statistics.median(measured),
        "low": min(measured),
        "high": max(measured),
        "values": measured,
    }


def ratios(slow: Sequence[float], fast: Sequence[float]) -> dict[str, Any]:
    """Spread of slow ÷ fast, pair by pair: both values of a pair come from the same turn."""
    return spread(one / other for one, other in zip(slow, fast, strict=True))


class Busy:
    """Processor time since construction: of this process with its finished children, and of the whole machine."""

    def __init__(self) -> None:
        self._wall = time.monotonic()
        self._own = _own_seconds()
        self._all = _machine_seconds()

    def others(self) -> float | None:
        """Share of the usable cores, 0 to 1, used by other processes; None without /proc/stat."""
        total, own = _machine_seconds(), _own_seconds()
        if total is None or self._all is None:
            return None
        cores = len(usable_cores()) * (time.monotonic() - self._wall)
        return round(max(0.0, total - self._all - (own - self._own)) / cores, 3) if cores else None


def conditions(busy: Busy) -> dict[str, Any]:
    """Machine, versions and load; `others_share` counts from the construction of `busy` and should be near 0."""
    from lthsweep.launch.provenance import processor_name  # imports torch: only after the measurements

    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "processor": processor_name(),
        "cores": len(usable_cores()),
        "load_average": list(os.getloadavg()),
        "others_share": busy.others(),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "lthsweep": _version("lthsweep"),
    }


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _machine_seconds() -> float | None:
    """Busy time of all processors since boot, including the time that a hypervisor took away."""
    try:
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    except OSError:
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq + steal) / float(os.sysconf("SC_CLK_TCK"))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
