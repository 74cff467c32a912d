"""Under what conditions a figure was measured: machine, versions, and who else was at work."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lthsweep.launch.slots import usable_cores

__all__ = ["Busy", "conditions"]


class Busy:
    """Counts processor time from when it is made: of this process with its children, and of everything on the machine.

    A child counts when it has ended and was waited for.
    """

    def __init__(self) -> None:
        self._wall = time.monotonic()
        self._own = _own_seconds()
        self._all = _machine_seconds()

    def others(self) -> float | None:
        """The share of the usable cores, 0 to 1, that other processes took since then; None where nobody counts it."""
        everything, own = _machine_seconds(), _own_seconds()
        if everything is None or self._all is None:
            return None
        cores = len(usable_cores()) * (time.monotonic() - self._wall)
        return round(max(0.0, everything - self._all - (own - self._own)) / cores, 3) if cores else None


def conditions(busy: Busy) -> dict[str, Any]:
    """What stands beside every figure: `others_share` is since `busy` was made, and should be near 0."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "processor": _processor(),
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
    """Time that all processors together worked since the machine started, for anybody, and was stolen from it."""
    try:
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    except OSError:
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq + steal) / float(os.sysconf("SC_CLK_TCK"))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
