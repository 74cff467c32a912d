"""One look at a sweep, and what its finished runs cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lthsweep.commands.sources import Source
from lthsweep.launch.disk_status import DiskStatus
from lthsweep.launch.eta import Eta
from lthsweep.launch.sweep_status import SweepStatus
from lthsweep.plan.estimate import seconds_spared
from lthsweep.reduce.spending import Spending

__all__ = ["Hours", "Seen", "hours"]


@dataclass(frozen=True)
class Seen:
    """One look at a sweep.

    Attributes:
        states: where every run stands.
        found: the status by files, from which they follow.
        outlook: when it may be done; None if that is not known.
        spending: seconds of the finished runs.
        seconds_per_epoch: `recipe_id` → seconds, as measured.
    """

    states: SweepStatus
    found: DiskStatus
    outlook: Eta | None
    spending: Spending
    seconds_per_epoch: Mapping[str, float]


@dataclass(frozen=True)
class Hours:
    """What the finished runs cost, and what sharing spares in all.

    Attributes:
        cores, gpus: core-hours and GPU-hours of finished runs.
        spared: of `unit`, which the naive nested loop would take beyond this plan; None if not known yet.
        unit: "core-hours" or "GPU-hours", by what most was spent on.
        exact: whether the time of every finished run was read.
    """

    cores: float
    gpus: float
    spared: float | None
    unit: str
    exact: bool


def hours(opened: Source, seen: Seen) -> Hours:
    """Seconds of workers as hours of what they occupy: `local.threads` cores, or their part of a GPU."""
    threads, sharing = opened.spec.local.threads, max(1, seen.states.glance.workers_per_gpu)
    on_gpu = seen.spending.gpu_seconds > seen.spending.cpu_seconds
    spared = seconds_spared(opened.plan, seen.seconds_per_epoch)
    return Hours(
        cores=seen.spending.cpu_seconds * threads / 3600,
        gpus=seen.spending.gpu_seconds / sharing / 3600,
        spared=None if spared is None else spared * (1 / sharing if on_gpu else threads) / 3600,
        unit="GPU-hours" if on_gpu else "core-hours",
        exact=seen.spending.exact,
    )
