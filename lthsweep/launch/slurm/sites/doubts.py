"""What looks wrong about a site, but may be right: a profile is of yesterday, and SLURM itself decides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lthsweep.errors import nearest
from lthsweep.launch.slurm.sites.profile import Partition, Profile

if TYPE_CHECKING:
    from lthsweep.launch.slurm.sites.site import Site

__all__ = ["doubts"]


def doubts(site: Site, profile: Profile) -> Iterator[str]:
    """A sentence for each.

    Args:
        site: without its warnings.
        profile: what it was made from.
    """
    names = site.partition.split(",") if site.partition else []
    for name in names:
        if name in profile.partitions:
            yield from _of_partition(site, name, profile.partitions[name], alone=len(names) == 1)
        elif profile.partitions:
            hint = nearest(name, profile.partitions)
            yield (
                f"the profile does not know the partition {name}{f' (did you mean {hint}?)' if hint else ''}, "
                f"so a job asks for what is usual on the others (GPUs: {site.gpus}, cores: {site.cpus}): "
                "say slurm.gpus, slurm.cpus and slurm.memory if that is wrong"
            )


def _of_partition(site: Site, name: str, facts: Partition, *, alone: bool) -> Iterator[str]:
    if facts.max_jobs is not None:
        yield (
            f"{name} takes {facts.max_jobs} jobs of a user at a time: good for a trial, slow for a sweep"
            if alone
            else f"{name} takes {facts.max_jobs} jobs of a user at a time, so all partitions get no more"
        )
    if facts.hours is not None and site.minutes is not None and site.minutes > 60 * facts.hours:
        yield f"slurm.time is {site.minutes / 60:g} hours, but {name} is said to end jobs after {facts.hours:g}"
    if facts.node_cpus is not None and site.cpus > facts.node_cpus:
        yield f"a job asks for {site.cpus} cores, but no node of {name} is said to have more than {facts.node_cpus}"
    if facts.node_gpus is not None and site.gpus > facts.node_gpus:
        yield f"a job asks for {site.gpus} GPUs, but no node of {name} is said to have more than {facts.node_gpus}"
    if facts.gpus and not site.gpus:
        yield f"a job asks for no GPU on {name}, whose nodes have them; the cluster may mind"
