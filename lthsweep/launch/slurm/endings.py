"""How worker jobs ended or got on, by node, in order: the input of the circuit breaker and the blocklist of nodes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

from lthsweep.launch.slurm.array_tasks import ArrayTask
from lthsweep.launch.slurm.circuit_breaker import NodeEnd
from lthsweep.launch.slurm.job_files import job_logs, last_log_line, nodes_of, read_end
from lthsweep.store.layout import SweepDir

__all__ = ["endings", "silent"]


def endings(sweep: SweepDir, tasks: Iterable[ArrayTask]) -> list[NodeEnd]:
    """Return one end for each worker job that has ended on a node, or has made progress on it.

    Args:
        sweep: contains the jobs' files.
        tasks: jobs, in any order.
    """
    ordered = sorted(
        (task for task in tasks if task.submission.kind == "workers"),
        key=lambda task: _last_sign(sweep, task),
    )
    ends = []
    for task in ordered:
        nodes = nodes_of(sweep, task.submission.name, task.index)
        if not nodes:
            continue
        end = read_end(sweep, task.submission.name, task.index)
        worked = end is not None and (end.worked or end.stopped or not end.broke)
        if task.is_live and not worked:
            continue
        outcome = "worked" if worked else "failed" if end is not None else "vanished"
        ends.append(NodeEnd(nodes[-1], outcome, last_log_line(sweep, task.submission, task.index)))
    return ends


def silent(ends: Sequence[NodeEnd], blocklisted: Iterable[str], *, at_work: bool) -> list[str]:
    """Return the last log lines of elements that vanished without progress, if the sweep can be the cause.

    It is not the cause if all of them were on one node, and other elements are running or worked on other nodes.

    Args:
        ends: from `endings`.
        blocklisted: blocklisted nodes.
        at_work: whether an element is running.
    """
    bad = frozenset(blocklisted)
    vanished = [end for end in ends if end.outcome == "vanished" and end.node not in bad]
    where = {end.node for end in vanished}
    worked_elsewhere = any(end.outcome == "worked" and end.node not in where for end in ends)
    if len(where) <= 1 and (at_work or worked_elsewhere):
        return []
    return [end.cause or "it wrote nothing" for end in vanished]


def _last_sign(sweep: SweepDir, task: ArrayTask) -> float:
    """Return the time of an element's last file, by the clock of the file server."""
    folder, index = sweep.submission(task.submission.name), task.index
    paths = [
        folder / f"{index}.end.json",
        folder / f"{index}.node",
        *job_logs(sweep, task.submission, index),
    ]
    signs = [0.0]
    for path in paths:
        with contextlib.suppress(OSError):
            signs.append(path.stat().st_mtime)
    return max(signs)
