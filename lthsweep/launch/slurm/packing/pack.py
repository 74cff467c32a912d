"""Pack the remaining runs into SLURM jobs: neither too short nor too long, with as few dependencies as possible. Pure.

A forest of runs is cut into pieces that stay together (`forest`), pieces are combined to parcels, one for each job
(`parcels`), and parcels are grouped in batches, one for each sbatch (`batches`). Dependent runs share a job where they
fit, because SLURM's dependencies are slow, coarse, and limited in number. The same input gives the same batches; ties
are broken by the order of the runs.
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
        nodes: remaining runs, parents before children, cost in seconds. A parent that is not among them is finished,
            unless it is in flight.
        workers: in one job.
        target: target length of a parcel, in seconds.
        floor: minimum length of a parcel in seconds, if there is enough work; also the minimum walltime.
        limit: longest walltime of a job, in seconds; None if there is none. Only a parcel with a single run is expected
            to reach it; the run then continues from its checkpoint after a requeue.
        max_array: maximum number of elements of an array.
        in_flight: runs of submitted jobs.

    Returns:
        Batches by stage. Each run is in one parcel; each parcel comes after those that it needs.
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
    """Return the roots that can start at once, and those that wait, grouped by the run in flight that they need.

    Groups that are too small for a job are merged.
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
