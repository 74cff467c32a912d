"""Submit, requeue and cancel jobs.

If sbatch does not answer, the controller may have queued the job before the connection broke; in every trial it had. So
a timeout raises `ClusterSilentError`, never a refusal, and the job is searched for by its name.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from lthsweep.errors import ClusterSilentError, LaunchError, RefusedError, StoreError
from lthsweep.launch.slurm.cluster.ask import ask
from lthsweep.launch.slurm.cluster.refusals import RETRYING, refusal_of
from lthsweep.launch.slurm.cluster.script import Job, executor_of, text_of

if TYPE_CHECKING:
    from lthsweep.launch.slurm.sites.site import Site

__all__ = ["Job", "cancel", "requeue", "submit", "text_of"]

SECONDS = 60.0
"""Deadline of one command; sbatch itself would try for minutes."""

_AT_ONCE = 100
"""Ids in one scancel, which sends one message for each."""


def submit(job: Job, site: Site) -> str:
    """Submit a job and return its id; its script is kept in its folder as `<name>.sh`.

    Returns:
        The job's id, or the array's id.

    Raises:
        SpecError: if sbatch cannot represent a value; no file is written.
        StoreError: if the script cannot be written.
        NotNowError: if SLURM accepts no more jobs for now; no job is queued, and a later attempt can succeed.
        RefusedError: if SLURM refuses the requested resources; no job is queued.
        ClusterSilentError: if the job may have been queued.
    """
    script = _write(job, text_of(job, site))
    executor = executor_of(job)
    if shutil.which("sbatch") is None:
        raise RefusedError(
            "there is no sbatch on this machine's PATH; run this on a login node of the cluster, or choose another "
            "place to train with --on"
        )
    try:
        answer = ask(executor.command(script), seconds=SECONDS, cut_at=RETRYING)
        if answer.cut_off or answer.code:
            raise refusal_of(answer, job.name, os.environ)
        return executor.job_id(answer.out)
    except ClusterSilentError as silence:
        raise ClusterSilentError(f"{silence}; {job.name} may have been queued all the same") from silence


def requeue(job_id: str) -> bool:
    """Requeue a running job; SLURM then ends it. Called by the job itself.

    Args:
        job_id: "123_4", or "123".

    Returns:
        Whether SLURM will start the job again. If the controller does not answer, the command is repeated once.
    """
    for _ in range(2):
        with contextlib.suppress(ClusterSilentError):
            return ask(["scontrol", "requeue", _checked(job_id)], seconds=SECONDS / 2).code == 0
    return False


def cancel(ids: Sequence[str]) -> None:
    """Cancel waiting and running jobs; ended jobs are ignored.

    Args:
        ids: of jobs, arrays ("123") or elements ("123_4"). Elements of one array share a message.

    Raises:
        ClusterSilentError: if SLURM does not answer; some jobs may have been canceled.
        RefusedError: if some jobs belong to another user.
    """
    targets = _by_array(ids)
    for start in range(0, len(targets), _AT_ONCE):
        answer = ask(["scancel", "--quiet", *targets[start : start + _AT_ONCE]], seconds=SECONDS)
        if re.search(r"denied", answer.err, re.IGNORECASE):
            raise RefusedError(f"SLURM cannot cancel jobs that are not yours: {answer.words}")
        if (
            answer.code
            and answer.words
            and not re.search(r"invalid job id|already", answer.err, re.IGNORECASE)
        ):
            raise ClusterSilentError(f"scancel failed: {answer.words}")


def _by_array(ids: Iterable[str]) -> list[str]:
    """Convert "7_1", "7_2", "7_5", "8" to "7_[1-2,5]", "8"; the id of an array replaces those of its elements."""
    whole = {job for job in map(_checked, ids) if "_" not in job}
    parts = [tuple(map(int, job.split("_"))) for job in {*ids} - whole]
    targets = sorted(whole, key=int)
    for array, members in groupby(sorted(parts), key=lambda part: part[0]):
        if str(array) not in whole:
            targets.append(f"{array}_[{_ranges([index for _, index in members])}]")
    return targets


def _ranges(indices: Sequence[int]) -> str:
    """Convert 1, 2, 3, 7 to "1-3,7"."""
    runs = [
        [index for _, index in run]
        for _, run in groupby(enumerate(indices), key=lambda pair: pair[1] - pair[0])
    ]
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _checked(job_id: str) -> str:
    if not re.fullmatch(r"\d+(_\d+)?", job_id):
        raise LaunchError(f"{job_id!r} is no id of a SLURM job; use 123, or 123_4 for an element of an array")
    return job_id


def _write(job: Job, text: str) -> Path:
    """Write the script, readable only by its owner, and return its path."""
    path = job.folder.absolute() / f"{job.name}.sh"
    try:
        job.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
    except OSError as error:
        raise StoreError(f"cannot write the batch script {path}: {error.strerror or error}") from error
    return path
