"""What sbatch's refusals mean: come back later, or change an option. Pure.

The texts are SLURM's own (slurm_errno.c, and the reasons of limits, which sbatch prints since 17.11).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lthsweep.errors import JobLimitError, RefusedError
from lthsweep.launch.slurm.cluster.ask import Answer

__all__ = ["RETRYING", "refusal_of"]

RETRYING = "retrying"
"""On stderr: the controller's queue is full (MaxJobCount), and sbatch sleeps before it asks again, for two minutes."""

_NUMBER = re.compile(
    r"\b(Assoc|QOS)\w*Submit\w*|retrying|job queue full|temporarily (unavailable|unable)"
    r"|invalid job array specification",
    re.IGNORECASE,
)
"""There are too many jobs, or too many elements in this one."""

_POLICY = re.compile(r"violates accounting/QOS policy", re.IGNORECASE)
_REASON = re.compile(r"\b(Assoc|QOS)(Max|Grp|Min)\w+")
"""A policy on something else than the number of jobs is named; without a name the number is the usual cause."""

_HINTS: tuple[tuple[str, str], ...] = (
    (r"account/partition|invalid account", "slurm.account (`sacctmgr show assoc user=$USER` lists yours)"),
    (r"partition", "slurm.partition (`sinfo -s` lists them)"),
    (r"qos|MaxWall|TRES|Cpu|Node.*Limit", "slurm.qos, slurm.time or what a job asks for"),
    (r"time limit|--time\b|time specification", "slurm.time"),
    (r"feature|--constraint", "slurm.constraint"),
    (r"generic resource|gres|gpus?-per", "slurm.gpus, slurm.gpu_type or slurm.gpu_form"),
    (r"memory|--mem\b", "slurm.memory"),
    (r"node configuration", "slurm.cpus, slurm.gpus, slurm.gpu_type, slurm.memory or slurm.constraint"),
    (r"cpu count", "slurm.cpus"),
    (r"reservation", "slurm.reservation"),
    (r"node name|--exclude", "slurm.exclude"),
    (r"wckey|license|unrecognized option|invalid directive|ambiguous", "slurm.options"),
)
"""A word of SLURM's sentence → what to change."""


def refusal_of(answer: Answer, name: str, environment: Iterable[str] = ()) -> RefusedError:
    """The error for what sbatch said, with its own sentence.

    Args:
        answer: its exit code is not 0, or it was cut off while it waited for room.
        name: of the job.
        environment: names of variables, of which those that sbatch would have taken for options are mentioned.
    """
    words = answer.words or f"exit code {answer.code}, and no word"
    if _NUMBER.search(words) or (_POLICY.search(words) and not _REASON.search(words)):
        return JobLimitError(f"SLURM has no room for {name} now: {words}")
    hints = [hint for pattern, hint in _HINTS if re.search(pattern, words, re.IGNORECASE)]
    change = f"; change {hints[0]}" if hints else ""
    ignored = sorted(variable for variable in environment if variable.startswith("SBATCH_"))
    note = (
        f" ({', '.join(ignored)} of your environment are not used: write them to [slurm])" if ignored else ""
    )
    return RefusedError(f"SLURM refused {name}: {words}{change}{note}")
