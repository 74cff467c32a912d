"""Rules between the keys of `[slurm]`, the same for a sweep's file and for a site profile."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from lthsweep.spec.problems import Problem
from lthsweep.spec.schema import Path
from lthsweep.spec.slurm_table import JobSettings
from lthsweep.spec.text_forms import PLAIN_TEXT, is_plain, minutes_of

__all__ = ["OPTION_KEYS", "RESERVED_OPTIONS", "RIVALS", "slurm_problems"]

RIVALS = {"cpus": "cpus_per_gpu", "memory": "memory_per_cpu", "workers": "workers_per_gpu"}
"""Key → the key for the same quantity in another unit."""

OPTION_KEYS: Mapping[str, str] = {
    **{
        name: name
        for name in ("account", "constraint", "exclude", "gpus", "partition", "qos", "reservation", "time")
    },
    "cpus-per-gpu": "cpus_per_gpu",
    "cpus-per-task": "cpus",
    "gpus-per-node": "gpus",
    "gpus-per-socket": "gpus",
    "gpus-per-task": "gpus",
    "mem": "memory",
    "mem-per-cpu": "memory_per_cpu",
    "mem-per-gpu": "memory",
    "tres-per-task": "gpus",
}
"""Option of sbatch → the key of `[slurm]` that sets it."""

RESERVED_OPTIONS = frozenset(
    (
        *("array", "begin", "chdir", "clusters", "dependency", "error", "export", "hold", "job-name"),
        *("kill-on-invalid-dep", "no-requeue", "nodes", "ntasks", "ntasks-per-node", "open-mode", "output"),
        *("parsable", "requeue", "signal", "test-only", "time-min", "wait", "wrap"),
    )
)
"""Options of sbatch that lthsweep sets, or whose defaults it depends on. sbatch checks all others."""

_OPTION_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_GPU = re.compile(r"(^|[,/])gpu\b")


def slurm_problems(settings: JobSettings, start: Path = ("slurm",)) -> Iterator[Problem]:
    """Problems between keys that are valid separately.

    Args:
        settings: the table.
        start: its position in the file.
    """
    for name, value in (settings.options or {}).items():
        if text := _option_problem(name, value):
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


def _option_problem(name: str, value: object) -> str | None:
    """Problem of an option of sbatch; None if it is valid."""
    if name in OPTION_KEYS:
        return f"is set by another key: write slurm.{OPTION_KEYS[name]}"
    if name in RESERVED_OPTIONS:
        return "cannot be set: lthsweep sets this option, or depends on its default"
    if not _OPTION_NAME.fullmatch(name):
        return "is not an option of sbatch; write its long name without dashes in front, as in mail-user"
    if isinstance(value, bool):
        return None
    if not isinstance(value, int | str):
        return "must be text, a whole number, true or false"
    if not is_plain(str(value)):
        return f"must be text {PLAIN_TEXT}, without spaces, quotes, $ or a dash in front"
    if name == "gres" and _GPU.search(str(value)):
        return "asks for GPUs: write slurm.gpus and slurm.gpu_type"
    return None
