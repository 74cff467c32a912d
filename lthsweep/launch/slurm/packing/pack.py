"""Runs that are left become jobs for SLURM: not too short, not too long, waiting for as little as possible. Pure.

A forest of runs is cut into pieces that stay together (`forest`), pieces share parcels, one for each job (`parcels`),
and parcels are lined up in batches, one for each sbatch (`batches`). Vertical comes first: what depends on each other
is worked off inside of one job where it fits, because SLURM's dependencies are slow, blunt, and counted. The same input
gives the same batches, and ties go by the order of the runs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lthsweep.launch.scheduler import Node
from lthsweep.launch.slurm.packing.batches import Batch, fit, line_up, number
from lthsweep.launch.slurm.packing.forest import Forest
from lthsweep.launch.slurm.packing.parcels import Parcel, bundle_up
from lthsweep.launch.slurm.packing.walltime import Lengths, walltime_minutes

__all__ = ["Batch", "Parcel", "fit", "pack"]


def pack(
    nodes: Sequence[Node],
    *,
    workers: int,
    target: float,
    floor: float,
    limit: float | None,
    max_array: int,
    in_flight: Collection[str] = (),
) -> list[Batch]:
    """Pack runs into batches of parcels.

    Args:
        nodes: runs that are left, parents before children, cost in seconds. A parent that is not among them is
            finished, unless it is in flight.
        workers: that train at once in one job.
        target: seconds that a parcel should last, about.
        floor: seconds that a parcel should last at least, as far as there is enough to do; and least walltime.
        limit: longest walltime of a job, in seconds; None if there is none. No parcel is expected to come near it but
            that of a single run, which then goes on from its checkpoint in another turn.
        max_array: elements of an array at most.
        in_flight: runs that jobs submitted before work on.

    Returns:
        Batches by stage. Each run is in one parcel; each parcel is behind what it needs.
    """
    lengths = Lengths.of(workers, target, floor, limit)
    forest = Forest(nodes, in_flight, lengths)
    free, waiting = _families(forest, lengths)
    groups = [
        *line_up([bundle_up(family, forest, lengths) for family in free], stage=0),
        *line_up([bundle_up(family, forest, lengths) for family in waiting], stage=1),
    ]
    return number(groups, max(1, max_array), lambda seconds: walltime_minutes(seconds, floor, limit))


def _families(forest: Forest, lengths: Lengths) -> tuple[list[list[Node]], list[list[Node]]]:
    """Roots that may start at once, and those that wait: by the run in flight that they wait for.

    Those of which a run in flight has too few to make a job of are put together.
    """
    free: list[Node] = []
    families: dict[str, list[Node]] = {}
    for root in forest.roots():
        if root.parent is not None and forest.is_unfinished(root.parent):
            families.setdefault(root.parent, []).append(root)
        else:
            free.append(root)
    large, small = [], []
    for family in families.values():
        if forest.least_seconds(family) < lengths.floor:
            small += family
        else:
            large.append(family)
    return [free] if free else [], [*large, small] if small else large
