"""Rules between the keys of `[slurm]`, the same for a sweep's file and for a site profile."""

from __future__ import annotations

from collections.abc import Iterator

from lthsweep.spec.problems import Problem
from lthsweep.spec.sbatch_options import option_problem
from lthsweep.spec.schema import Path
from lthsweep.spec.slurm import JobSettings
from lthsweep.spec.slurm_forms import minutes_of

__all__ = ["RIVALS", "slurm_problems"]

RIVALS = {"cpus": "cpus_per_gpu", "memory": "memory_per_cpu", "workers": "workers_per_gpu"}
"""Key → another way to say the same."""


def slurm_problems(settings: JobSettings, start: Path = ("slurm",)) -> Iterator[Problem]:
    """What is wrong between keys that are right one by one.

    Args:
        settings: the table.
        start: where it stands in its file.
    """
    for name, value in (settings.options or {}).items():
        if text := option_problem(name, value):
            yield Problem((*start, "options", name), text, value)
    for total, each in RIVALS.items():
        if getattr(settings, total) is not None and getattr(settings, each) is not None:
            text = f"excludes {each}: keep one of the two"
            yield Problem((*start, total), text, getattr(settings, total), ((*start, each),))
    yield from _times(settings, start)
    if settings.gpu_type is not None and settings.gpus == 0:
        yield Problem((*start, "gpu_type"), "needs gpus >= 1", settings.gpu_type, ((*start, "gpus"),))


def _times(settings: JobSettings, start: Path) -> Iterator[Problem]:
    floor, target = settings.floor_minutes, settings.target_minutes
    limit = None if settings.time is None else minutes_of(settings.time)
    if floor is not None and target is not None and floor > target:
        text = f"must be at most target_minutes = {target:g}"
        yield Problem((*start, "floor_minutes"), text, floor, ((*start, "target_minutes"),))
    for name, minutes in (("target_minutes", target), ("floor_minutes", floor)):
        if minutes is not None and limit is not None and minutes > limit:
            text = f"must be at most {limit} minutes, the longest walltime (time = {settings.time})"
            yield Problem((*start, name), text, minutes, ((*start, "time"),))
            return
