"""How near a pool of local workers comes to what no schedule can beat: max(total work / workers, longest chain).

The work of a run is all that its worker does for it, from taking it up to its record on the disk. Outside of that lie
the start of the workers, the time in which a worker waits for another's run, and the scheduling loop: the ratio says
what these cost together.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lthsweep.launch.local import run_local, slots_of
from lthsweep.plan.grid import expand
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
        bound: max(total / workers, longest chain) of the runs as they were measured.
        first: from the start of the pool to the first run: start-up.
        workers: processes.
        runs: trained.
    """

    wall: float
    bound: float
    first: float
    workers: int
    runs: int

    @property
    def ratio(self) -> float:
        """1 if there was nothing but work."""
        return self.wall / self.bound


def measure_bound(tables: Mapping[str, Any], folder: Path, cache: Path | None = None) -> Bound:
    """Run a sweep on this machine and compare.

    Args:
        tables: of its file.
        folder: of the sweep; must not exist.
        cache: folder of packs; None for the user's own.

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
    """What no schedule of runs of these lengths can beat."""
    chain: dict[str, float] = {}
    for key, run in plan.runs.items():  # parents come first
        chain[key] = seconds[key] + (chain[run.parent] if run.parent else 0.0)
    return max(sum(seconds.values()) / workers, max(chain.values()))
