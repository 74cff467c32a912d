"""How the sweep's jobs stand: the journal beside what SLURM says, and what follows for each run. Pure.

SLURM is a hint. An element that it lists is at work, or will be; one that it does not list is gone, whatever became of
it. Whether a run is finished is said by its record alone, so nothing here ever makes a run finished.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from lthsweep.launch.slurm.cluster.queue import Element
from lthsweep.launch.slurm.journal import Submission

__all__ = ["YOUNG_SECONDS", "Place", "Standing", "stand", "strikes"]

YOUNG_SECONDS = 60.0
"""A queue may be answered from a copy that is so old."""


@dataclass(frozen=True)
class Place:
    """One element of a submission, and what SLURM says of it.

    Attributes:
        submission, index: which.
        queued: SLURM's line; None if it does not list the element.
        settled: False while it is not known whether the submission reached SLURM.
    """

    submission: Submission
    index: int
    queued: Element | None
    settled: bool

    @property
    def is_live(self) -> bool:
        """It is in the queue, or may be."""
        return self.queued is not None or not self.settled

    @property
    def keys(self) -> tuple[str, ...]:
        """Its runs."""
        return self.submission.keys(self.index)


@dataclass(frozen=True)
class Standing:
    """All elements of all submissions that were not given up, in the order of the journal."""

    places: tuple[Place, ...]

    @cached_property
    def covered(self) -> Mapping[str, Place]:
        """Run → the last live element that has it."""
        return {key: place for place in self.places if place.is_live for key in place.keys}

    @cached_property
    def live(self) -> tuple[Submission, ...]:
        """Submissions of training with an element that is live."""
        found = {place.submission.name: place.submission for place in self.places if place.is_live}
        return tuple(submission for submission in found.values() if submission.kind == "train")

    @property
    def live_elements(self) -> int:
        """How many elements are live, ticks among them."""
        return sum(place.is_live for place in self.places)

    def gone(self, key: str) -> list[Place]:
        """Elements that had a run and are gone, in order."""
        return [place for place in self._gone_by_key.get(key, []) if not place.is_live]

    @property
    def listed(self) -> bool:
        """Whether SLURM lists an element of each live submission of training, so that other jobs can wait for it."""
        listed = {place.submission.name for place in self.places if place.queued is not None}
        return all(submission.name in listed for submission in self.live)

    def tick(self, other_than: str | None = None) -> Submission | None:
        """A follow-up job that is live, other than the one that asks; see also `follow_up`.

        One without an id does not count: its coordinator may have died before SLURM heard of it, and two follow-ups
        do no harm where none would leave the sweep standing still.
        """
        for place in self.places:
            if place.submission.job is None or place.submission.name == other_than:
                continue
            if place.submission.kind == "tick" and place.is_live:
                return place.submission
        return None

    def follow_up(self, other_than: str | None = None) -> Submission | None:
        """A follow-up job that will look at all this later: it has not started yet.

        One that has started may have looked before, and one that SLURM lists may even have ended: a controller that
        was killed comes back with a queue that is some seconds old. Two follow-ups do no harm.
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
    """Put journal and queue side by side, by id and by name.

    A controller that was killed forgets the jobs of its last seconds, and hands out their ids again: to other jobs of
    this sweep, or of anybody.

    Args:
        journal: all submissions.
        queue: what SLURM lists of this user's.
        fresh: whether an element of a submission is so young, and as silent, that a missing line means nothing.
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


def strikes(key: str, gone: Sequence[Place], did: Callable[[Place], Collection[str] | None]) -> int:
    """How many elements in a row, up to the last, had a run and brought it no further.

    Preempted and requeued jobs are no strikes: SLURM starts them again itself, and they are not gone. Nor is an
    element that got anywhere with any of its runs before it was killed, or that was asked to stop.

    Args:
        key: the run.
        gone: elements that had it, in order.
        did: the runs for which an element is to blame, and that are no further than before; None if that is all its
            runs, because it left no trace of work.
    """
    count = 0
    for place in gone:
        blamed = did(place)
        count = count + 1 if blamed is None or key in blamed else 0
    return count
