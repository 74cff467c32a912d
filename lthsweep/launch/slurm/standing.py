"""Status of the sweep's jobs: the journal compared with SLURM's queue, and the consequences for each run. Pure.

SLURM's queue is only a hint. An element in the queue runs, or will run; one that is not listed is gone, for whatever
reason. Only a record finishes a run, so this module never does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from lthsweep.launch.slurm.cluster.queue import Element
from lthsweep.launch.slurm.journal import Submission

__all__ = ["YOUNG_SECONDS", "Place", "Standing", "failed_attempts", "stand"]

YOUNG_SECONDS = 60.0
"""Maximum age of a cached copy from which SLURM may list the queue."""


@dataclass(frozen=True)
class Place:
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
    def keys(self) -> tuple[str, ...]:
        """Return its runs."""
        return self.submission.keys(self.index)


@dataclass(frozen=True)
class Standing:
    """All elements of all valid submissions, in the order of the journal."""

    places: tuple[Place, ...]

    @cached_property
    def covered(self) -> Mapping[str, Place]:
        """Return run → the last live element that trains it."""
        return {key: place for place in self.places if place.is_live for key in place.keys}

    @cached_property
    def live(self) -> tuple[Submission, ...]:
        """Return the training submissions with a live element."""
        found = {place.submission.name: place.submission for place in self.places if place.is_live}
        return tuple(submission for submission in found.values() if submission.kind == "train")

    @property
    def live_elements(self) -> int:
        """Return the number of live elements, including follow-ups."""
        return sum(place.is_live for place in self.places)

    def gone(self, key: str) -> list[Place]:
        """Return the elements that had a run and are gone, in order."""
        return [place for place in self._gone_by_key.get(key, []) if not place.is_live]

    @property
    def listed(self) -> bool:
        """True if SLURM lists an element of each live training submission, so that other jobs can wait for it."""
        listed = {place.submission.name for place in self.places if place.queued is not None}
        return all(submission.name in listed for submission in self.live)

    def tick(self, other_than: str | None = None) -> Submission | None:
        """Return a live follow-up job other than `other_than`; see also `follow_up`.

        A follow-up without an id does not count: its coordinator may have died before it called SLURM. Two follow-ups
        are harmless, while none would stop the sweep.
        """
        for place in self.places:
            if place.submission.job is None or place.submission.name == other_than:
                continue
            if place.submission.kind == "tick" and place.is_live:
                return place.submission
        return None

    def follow_up(self, other_than: str | None = None) -> Submission | None:
        """Return a follow-up job that has not started yet, so that it will see the current state.

        A follow-up that has started may have read the state before. One that SLURM lists can even have ended: a killed
        controller restarts with a queue that is some seconds old. Two follow-ups are harmless.
        """
        for place in self.places:
            if place.submission.job is None or place.submission.name == other_than:
                continue
            waits = place.queued is None or place.queued.waits
            if place.submission.kind == "tick" and place.is_live and waits:
                return place.submission
        return None

    @cached_property
    def _gone_by_key(self) -> Mapping[str, list[Place]]:
        found: dict[str, list[Place]] = {}
        for place in self.places:
            for key in () if place.is_live else place.keys:
                found.setdefault(key, []).append(place)
        return found


def stand(
    journal: Iterable[Submission], queue: Sequence[Element], *, fresh: Callable[[Submission, int], bool]
) -> Standing:
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
    places = []
    for submission in journal:
        if submission.fate == "void":
            continue
        for index in range(submission.elements):
            line = None if submission.job is None else lines.get((submission.job, submission.name, index))
            settled = submission.job is not None and not fresh(submission, index)
            places.append(Place(submission, index, line, settled or line is not None))
    return Standing(tuple(places))


def failed_attempts(key: str, gone: Sequence[Place], did: Callable[[Place], Collection[str] | None]) -> int:
    """Return how many elements in a row, up to the last, had a run and made no progress with it.

    Preempted and requeued jobs do not count: SLURM starts them again, so they are not gone. Nor does an element that
    made progress with any of its runs before it was killed, or that was asked to stop.

    Args:
        key: the run.
        gone: elements that had it, in order.
        did: returns the runs without progress for which an element is to blame; None if that is all its runs, because
            it left no files.
    """
    count = 0
    for place in gone:
        blamed = did(place)
        count = count + 1 if blamed is None or key in blamed else 0
    return count
