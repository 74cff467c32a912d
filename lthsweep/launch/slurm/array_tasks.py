"""The array tasks of a sweep: the journal compared with a snapshot of SLURM's queue. Pure.

SLURM's queue is only a hint. An element in the queue runs, or will run; one that is not listed is gone, for whatever
reason. Only a record finishes a run, so this module never does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from lthsweep.launch.slurm.cluster.queue import Element
from lthsweep.launch.slurm.journal import Submission

__all__ = ["AT_WORK", "YOUNG_SECONDS", "ArrayTask", "SubmittedTasks", "match_tasks"]

AT_WORK = frozenset({"RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING"})
"""States of a job that has started; in all other states SLURM will start it, or start it again."""

YOUNG_SECONDS = 60.0
"""Age below which a submission can be missing from SLURM's list."""


@dataclass(frozen=True)
class ArrayTask:
    """One element of a submission, and its line in SLURM's queue.

    Attributes:
        submission, index: identify the element.
        queued: SLURM's line; None if SLURM does not list the element.
        settled: False while it is unknown whether the submission reached SLURM.
    """

    submission: Submission
    index: int
    queued: Element | None
    settled: bool

    @property
    def is_live(self) -> bool:
        """True if the element is in the queue, or can be."""
        return self.queued is not None or not self.settled

    @property
    def is_at_work(self) -> bool:
        """True if SLURM lists the element as started."""
        return self.queued is not None and self.queued.state in AT_WORK

    @property
    def keys(self) -> tuple[str, ...]:
        """Return its share: the runs that it trains first."""
        return self.submission.keys(self.index)


@dataclass(frozen=True)
class SubmittedTasks:
    """All elements of all valid submissions, in the order of the journal."""

    all: tuple[ArrayTask, ...]

    @cached_property
    def covered(self) -> Mapping[str, ArrayTask]:
        """Return run → the last live worker job with the run in its share."""
        return {key: task for task in self.all if task.is_live for key in task.keys}

    @cached_property
    def live(self) -> tuple[Submission, ...]:
        """Return the submissions of workers with a live element."""
        found = {task.submission.name: task.submission for task in self.all if task.is_live}
        return tuple(submission for submission in found.values() if submission.kind == "workers")

    @property
    def live_elements(self) -> int:
        """Return the number of live elements, controller jobs included."""
        return sum(task.is_live for task in self.all)

    @property
    def listed(self) -> bool:
        """True if SLURM lists an element of each live submission of workers, so that other jobs can wait for it."""
        listed = {task.submission.name for task in self.all if task.queued is not None}
        return all(submission.name in listed for submission in self.live)

    def controller(self) -> Submission | None:
        """Return a live controller job; see also `next_controller`."""
        return next((task.submission for task in self._controllers() if task.is_live), None)

    def next_controller(self, other_than: str | None = None) -> Submission | None:
        """Return a controller job other than `other_than` that has not started, so that it will see the current state.

        One that has started may have read the state before. One that SLURM lists can even have ended: a killed SLURM
        controller restarts with a queue that is some seconds old. Two controller jobs are harmless.
        """
        for task in self._controllers():
            waits = task.queued is None or task.queued.waits
            if task.is_live and waits and task.submission.name != other_than:
                return task.submission
        return None

    def has_unconfirmed_controller(self, since: float) -> bool:
        """Return whether another coordinator is submitting a controller job at this moment, probably.

        Args:
            since: an intent without an id counts if it was written after this time, in seconds since the epoch.
        """
        return any(
            task.submission.kind == "controller"
            and task.submission.job is None
            and task.submission.created > since
            for task in self.all
        )

    def _controllers(self) -> list[ArrayTask]:
        """Return all controller jobs with an id.

        Without one its coordinator may have died before it called SLURM. Two controller jobs are harmless, while the
        sweep would stop without any.
        """
        return [
            task
            for task in self.all
            if task.submission.kind == "controller" and task.submission.job is not None
        ]


def match_tasks(
    journal: Iterable[Submission], queue: Sequence[Element], *, fresh: Callable[[Submission, int], bool]
) -> SubmittedTasks:
    """Match journal and queue by id and name.

    The id alone is not enough: a killed controller forgets the jobs of its last seconds and assigns their ids again, to
    other jobs of this sweep or of another user.

    Args:
        journal: all submissions.
        queue: SLURM's list of this user's elements.
        fresh: whether an element of a submission is so recent, and without an end, that a missing line means nothing.
    """
    lines: dict[tuple[str, str, int], Element] = {}
    for element in queue:
        lines[element.job, element.name, element.index or 0] = element
    tasks = []
    for submission in journal:
        if submission.outcome == "void":
            continue
        for index in range(submission.elements):
            line = None if submission.job is None else lines.get((submission.job, submission.name, index))
            settled = submission.job is not None and not fresh(submission, index)
            tasks.append(ArrayTask(submission, index, line, settled or line is not None))
    return SubmittedTasks(tuple(tasks))
