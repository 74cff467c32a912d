"""Classify refusals of sbatch: wait and submit again, or change an option. Pure.

The patterns match SLURM's own messages (slurm_errno.c, and the reasons of limits, which sbatch prints since 17.11).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lthsweep.errors import NotNowError, RefusedError
from lthsweep.launch.slurm.cluster.ask import Answer

__all__ = ["RETRYING", "refusal_of"]

RETRYING = "retrying"
"""On stderr if the controller's queue is full (MaxJobCount); sbatch sleeps and tries again for two minutes."""

_PASSES = re.compile(
    r"\b(Assoc|QOS)\w*Submit\w*|retrying|job queue full|temporarily (unavailable|unable)"
    r"|invalid job array specification"
    r"|partition not available|nodes? (required for job )?(are|is) (down|drained|reserved|busy|not available)"
    r"|nodes are busy|node not available \(down, drained or reserved\)|in state of inactive or drain",
    re.IGNORECASE,
)
"""The user has too many jobs, this array has too many elements, or the partition is closed for maintenance."""

_POLICY = re.compile(r"violates accounting/QOS policy", re.IGNORECASE)
_REASON = re.compile(r"\b(Assoc|QOS)(Max|Grp|Min)\w+")
"""Names of limits other than the number of jobs. A policy error without a name usually means the number of jobs."""

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
"""Pattern in SLURM's message → option to change."""


def refusal_of(answer: Answer, name: str, environment: Iterable[str] = ()) -> RefusedError:
    """Return the error for sbatch's answer, including SLURM's own message.

    Args:
        answer: with an exit code other than 0, or cut off while sbatch waited for a full queue.
        name: of the job.
        environment: names of variables; the message lists those that sbatch would have used as options.
    """
    words = answer.words or f"exit code {answer.code} without a message"
    if _PASSES.search(words) or (_POLICY.search(words) and not _REASON.search(words)):
        return NotNowError(f"SLURM does not accept {name} now: {words}")
    hints = [hint for pattern, hint in _HINTS if re.search(pattern, words, re.IGNORECASE)]
    change = f"; change {hints[0]}" if hints else ""
    ignored = sorted(variable for variable in environment if variable.startswith("SBATCH_"))
    note = f" ({', '.join(ignored)} in your environment are ignored: set them in [slurm])" if ignored else ""
    return RefusedError(f"SLURM refused {name}: {words}{change}{note}")
