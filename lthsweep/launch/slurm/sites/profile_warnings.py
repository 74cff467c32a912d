"""Warnings about jobs that contradict their profile. Profiles can be out of date, so SLURM decides."""

from __future__ import annotations

from collections.abc import Iterator

from lthsweep.errors import nearest
from lthsweep.launch.slurm.sites.profile import PartitionFacts, Profile

__all__ = ["profile_warnings"]


def profile_warnings(
    profile: Profile, partition: str | None, *, minutes: int | None, cpus: int, gpus: int
) -> Iterator[str]:
    """Yield one sentence per contradiction between a job and its profile.

    Args:
        profile: of the site.
        partition: names separated by commas; None for the default partition.
        minutes: the job's walltime; None for the partition's limit.
        cpus: cores of the job.
        gpus: GPUs of the job.
    """
    names = partition.split(",") if partition else []
    for name in names:
        if name in profile.partitions:
            facts = profile.partitions[name]
            yield from _of_partition(facts, name, minutes, cpus, gpus, alone=len(names) == 1)
        elif profile.partitions:
            hint = nearest(name, profile.partitions)
            yield (
                f"the profile has no partition {name}{f' (did you mean {hint}?)' if hint else ''}, "
                f"so a job requests the profile's default size (GPUs: {gpus}, cores: {cpus}): "
                "set slurm.gpus, slurm.cpus and slurm.memory to change it"
            )


def _of_partition(
    facts: PartitionFacts, name: str, minutes: int | None, cpus: int, gpus: int, *, alone: bool
) -> Iterator[str]:
    if facts.max_jobs is not None:
        yield (
            f"{name} takes {facts.max_jobs} jobs of a user at a time: enough for a test, slow for a sweep"
            if alone
            else f"{name} takes {facts.max_jobs} jobs of a user at a time; the limit applies to all partitions"
        )
    if facts.hours is not None and minutes is not None and minutes > 60 * facts.hours:
        yield f"slurm.time is {minutes / 60:g} hours, but the profile's limit of {name} is {facts.hours:g} hours"
    if facts.node_cpus is not None and cpus > facts.node_cpus:
        yield f"a job requests {cpus} cores, but by the profile no node of {name} has more than {facts.node_cpus}"
    if facts.node_gpus is not None and gpus > facts.node_gpus:
        yield f"a job requests {gpus} GPUs, but by the profile no node of {name} has more than {facts.node_gpus}"
    if facts.gpus and not gpus:
        yield f"a job requests no GPU on {name}, whose nodes have GPUs; the cluster can refuse it"
