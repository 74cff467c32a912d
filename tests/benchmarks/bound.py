"""Wall time of a local pool against its lower bound: max(total work ÷ workers, longest chain).

The work of a run lasts from its start in the worker until its record is on disk. The ratio contains everything
else: the start of the workers, waiting for runs of other workers, and the scheduling loop.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lthsweep.launch.local import run_local, slots_of
from lthsweep.plan.expand import expand
from lthsweep.plan.run import Plan
from lthsweep.spec import spec_of
from lthsweep.store.layout import SweepDir
from lthsweep.store.record import read_summary

__all__ = ["Bound", "bound_of", "measure_bound"]


@dataclass(frozen=True)
class Bound:
    """One sweep on local workers; times in seconds.

    Attributes:
        wall: from the start of the pool to the end of its last worker.
        bound: max(total ÷ workers, longest chain) of the measured runs.
        first: from the start of the pool to the first run.
        workers: number of processes.
        runs: number of runs.
    """

    wall: float
    bound: float
    first: float
    workers: int
    runs: int

    @property
    def ratio(self) -> float:
        """Wall time ÷ bound; at least 1."""
        return self.wall / self.bound


def measure_bound(tables: Mapping[str, Any], folder: Path, cache: Path | None = None) -> Bound:
    """Run a sweep on this machine and compare its wall time with the bound.

    Args:
        tables: of the sweep's file.
        folder: of the sweep; must not exist.
        cache: folder of packs; None for the user's.

    Raises:
        LaunchError: if workers cannot be started.
    """
    plan = expand(spec_of(dict(tables)))
    sweep = SweepDir(folder)
    started = time.time()
    ended = run_local(plan, sweep, cache=cache)
    times = {}
    for key in plan.runs:
        provenance = read_summary(sweep.record(key)).provenance
        times[key] = float(provenance["started"]), float(provenance["finished"])
    workers = min(len(slots_of(plan.spec)), len(plan.runs))
    bound = bound_of(plan, {key: end - start for key, (start, end) in times.items()}, workers)
    first = min(start for start, _ in times.values()) - started
    return Bound(ended.seconds, bound, first, workers, len(plan.runs))


def bound_of(plan: Plan, seconds: Mapping[str, float], workers: int) -> float:
    """Lower bound of the wall time of any schedule of runs with these durations."""
    chain: dict[str, float] = {}
    for key, run in plan.runs.items():  # parents come first
        chain[key] = seconds[key] + (chain[run.parent] if run.parent else 0.0)
    return max(sum(seconds.values()) / workers, max(chain.values()))
