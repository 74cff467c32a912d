"""Cancel a sweep, or some of its runs."""

from __future__ import annotations

import socket
import time
from collections.abc import Collection, Iterable

from lthsweep.launch.slurm.array_tasks import ArrayTask, match_tasks
from lthsweep.launch.slurm.cluster.queue import read_queue
from lthsweep.launch.slurm.cluster.sbatch import cancel
from lthsweep.launch.slurm.halt import halt
from lthsweep.launch.slurm.journal import forget_queue, open_journal, read_journal
from lthsweep.plan.run import Plan
from lthsweep.store.failures import CANCELLED, Failure, read_failures, record_failure
from lthsweep.store.layout import SweepDir

__all__ = ["cancel_runs", "cancel_sweep"]


def cancel_sweep(sweep: SweepDir) -> list[str]:
    """Halt a sweep and cancel its jobs; returns their ids.

    The halt comes first: if SLURM does not answer, jobs that start later still exit at once.

    Raises:
        ClusterSilentError: if SLURM does not answer.
        StoreError: if the directory cannot be written.
    """
    open_journal(sweep)
    halt(sweep, "the user canceled it", "user")
    jobs = sorted({task.submission.job for task in _live(sweep) if task.submission.job is not None})
    cancel(jobs)
    forget_queue(sweep)
    return jobs


def cancel_runs(plan: Plan, sweep: SweepDir, keys: Iterable[str]) -> list[str]:
    """Cancel runs. Their workers stop at the next heartbeat; elements without remaining runs are canceled.

    Returns:
        The ids of canceled elements.

    Raises:
        ClusterSilentError: if there are jobs and SLURM does not answer.
        StoreError: if the directory cannot be written.
    """
    for key in keys:
        failure = Failure("the user canceled it", kind=CANCELLED, host=socket.gethostname(), time=time.time())
        record_failure(sweep, key, failure)
    if not sweep.slurm.is_dir():
        return []
    done = set(sweep.record_keys())
    blocked = {key for key, failure in read_failures(sweep).items() if failure.is_final}
    for key, run in plan.runs.items():  # parents come first
        if run.parent in blocked and key not in done:
            blocked.add(key)
    idle = [task for task in _live(sweep) if _has_nothing(task, done | blocked)]
    jobs = [job for task in idle if (job := task.submission.job_id(task.index)) is not None]
    cancel(jobs)
    forget_queue(sweep)
    return jobs


def _has_nothing(task: ArrayTask, settled: Collection[str]) -> bool:
    waiting = task.queued is not None and task.queued.state == "PENDING"
    return task.submission.kind == "workers" and waiting and all(key in settled for key in task.keys)


def _live(sweep: SweepDir) -> list[ArrayTask]:
    tasks = match_tasks(read_journal(sweep), read_queue(), fresh=lambda submission, index: False)
    return [task for task in tasks.all if task.queued is not None]
