"""What `run --on slurm` would submit at this moment: batches, limits, and the text of every sbatch. Writes nothing.

It takes the step of `advance` with the same functions, up to the point where something would be published. SLURM is
asked for its limits if it is here; a laptop without it sees everything else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lthsweep.errors import ClusterSilentError, StoreError
from lthsweep.launch.slurm.advance import Costed, batches_of, costed, room_for
from lthsweep.launch.slurm.cluster.limits import Limits, read_limits
from lthsweep.launch.slurm.cluster.sbatch import text_of
from lthsweep.launch.slurm.glance import Glance, glance
from lthsweep.launch.slurm.journal import Submission, read_journal
from lthsweep.launch.slurm.look import still_open
from lthsweep.launch.slurm.packing.pack import Batch, fit
from lthsweep.launch.slurm.sites.site import Site
from lthsweep.launch.slurm.standing import Standing
from lthsweep.launch.slurm.submitting import TICK_MINUTES, batch_job, dependency_of, tick_job
from lthsweep.launch.work import Work
from lthsweep.plan.run import Plan
from lthsweep.store import commit, plainjson
from lthsweep.store.layout import SweepDir

__all__ = ["Planned", "Preview", "preview"]

_USUAL = Limits(max_array=1001, room=None, minutes=None)
"""Of a SLURM that nobody configured, for where there is none to ask."""

_PREFIX = "lth-xxxxxxxx"
"""The name of a sweep's jobs begins with a random number, drawn when it is first submitted."""


@dataclass(frozen=True)
class Planned:
    """One sbatch that would be called.

    Attributes:
        intent: what would be written into the journal.
        batch: None for a follow-up.
        text: the batch script. Ids of jobs that are not submitted yet are written as "ID-OF-" and their name.
    """

    intent: Submission
    batch: Batch | None
    text: str


@dataclass(frozen=True)
class Preview:
    """What a step would do.

    Attributes:
        site: the cluster, as profile and file say.
        limits: of the cluster.
        assumed: why the limits could not be read and are the usual ones; "" if they were read.
        glance: jobs that were submitted before.
        batches: all that is left to submit, packed.
        planned: what would be submitted now.
        tick: the follow-up that would be submitted; None if there is one, or none is needed.
        room: elements that may be submitted now; None for any number.
        costs: the runs behind it, in seconds.
        given_up: how many runs failed or were canceled, or wait for one that did.
    """

    site: Site
    limits: Limits
    assumed: str
    glance: Glance
    batches: tuple[Batch, ...]
    planned: tuple[Planned, ...]
    tick: Planned | None
    room: int | None
    costs: Costed
    given_up: int

    @property
    def jobs(self) -> int:
        """Elements of all batches; what waits for the length of an epoch to be known is not among them."""
        return sum(batch.elements for batch in self.batches)

    @property
    def jobs_now(self) -> int:
        """Elements that would be submitted now."""
        return sum(planned.intent.elements for planned in self.planned)

    @property
    def runs_later(self) -> int:
        """Runs that the follow-up would submit."""
        now = sum(len(keys) for planned in self.planned for keys in planned.intent.parcels)
        return len(self.costs.nodes) + self.costs.waiting - now

    @property
    def device_hours(self) -> float | None:
        """GPU-hours of all batches, or core-hours on a partition without GPUs; None if no epoch was measured."""
        if self.costs.guessed:
            return None
        seconds = math.fsum(parcel.seconds for batch in self.batches for parcel in batch.parcels)
        return seconds * (self.site.gpus or self.site.cpus) / 3600


def preview(plan: Plan, sweep: SweepDir, site: Site, work: Work) -> Preview:
    """Take a step without submitting anything.

    Args:
        plan: all runs.
        sweep: the sweep directory, which need not exist.
        site: the cluster.
        work: what has no record yet.

    Raises:
        RefusedError: if SLURM is here and does not have the partition.
        SpecError: if an option cannot be given to sbatch.
        LaunchError: if submitit is not installed.
    """
    seen = glance(sweep, lambda: site)
    standing = seen.standing or Standing(())
    limits, assumed = _limits(site)
    failed = {key for key, failure in work.found.failures.items() if failure.is_final}
    left = still_open(work.nodes, standing.covered, failed)
    halted = (
        seen.halt is not None and seen.halt.by != "user"
    )  # `run` by hand goes on with what a user canceled
    costs = costed(plan, sweep, site, () if halted else left, standing.covered)
    batches = batches_of(costs.nodes, site, limits, standing.covered)
    tick = standing.follow_up()
    room = room_for(site, limits, standing.live_elements, reserve=0 if tick else 1)
    fitting = fit(batches, room)
    scripts = _Scripts(sweep, site, standing)
    planned = scripts.of(fitting)
    follow = None
    if tick is None and not halted and (left or standing.live):
        all_now = fitting == batches and standing.listed
        follow = scripts.follow((*standing.live, *(one.intent for one in planned)) if all_now else ())
    behind = len(work.nodes) - len(left) - len(standing.covered.keys() & {node.key for node in work.nodes})
    return Preview(
        site, limits, assumed, seen, tuple(batches), tuple(planned), follow, room, costs, max(0, behind)
    )


def _limits(site: Site) -> tuple[Limits, str]:
    try:
        return read_limits(site), ""
    except ClusterSilentError as silence:
        return _USUAL, str(silence)


class _Scripts:
    """Names, numbers and texts, as the step would give them."""

    def __init__(self, sweep: SweepDir, site: Site, standing: Standing) -> None:
        self._sweep = sweep
        self._site = site
        self._elsewhere: Mapping[str, Submission] = {
            key: place.submission for key, place in standing.covered.items()
        }
        try:
            self._number = max((submission.number for submission in read_journal(sweep)), default=0)
        except StoreError:
            self._number = 0
        self._prefix = _prefix(sweep)

    def of(self, batches: Sequence[Batch]) -> list[Planned]:
        """A submission of each batch, but for those that wait for what SLURM has not confirmed yet."""
        made: dict[int, Planned] = {}
        for index, batch in enumerate(batches):
            waits = {self._elsewhere[key].name: self._elsewhere[key] for key in batch.waits_for}
            if any(submission.job is None for submission in waits.values()) or not all(
                earlier in made for earlier in batch.after
            ):
                continue
            after = [*(made[earlier].intent for earlier in batch.after), *waits.values()]
            intent = self._intent(
                kind="train",
                parcels=tuple(parcel.keys for parcel in batch.parcels),
                minutes=batch.minutes,
                after=tuple(submission.name for submission in after),
            )
            dependency = dependency_of(batch, [_id_of(submission) for submission in after])
            job = batch_job(self._sweep, self._site, intent, dependency)
            made[index] = Planned(intent, batch, text_of(job, self._site))
        return list(made.values())

    def follow(self, after: Sequence[Submission]) -> Planned:
        """The follow-up: after all these, or, if none is named, by the clock."""
        intent = self._intent(
            kind="tick", minutes=TICK_MINUTES, after=tuple(submission.name for submission in after)
        )
        job = tick_job(self._sweep, self._site, intent, [_id_of(submission) for submission in after])
        return Planned(intent, None, text_of(job, self._site))

    def _intent(self, **fields: Any) -> Submission:
        self._number += 1
        return Submission(number=self._number, name=f"{self._prefix}-{self._number:04d}", **fields)


def _id_of(submission: Submission) -> str:
    return submission.job or f"ID-OF-{submission.name}"


def _prefix(sweep: SweepDir) -> str:
    try:
        return str(plainjson.load(commit.read_whole(sweep.slurm / "name.json"))["prefix"])
    except (FileNotFoundError, StoreError, ValueError, KeyError, TypeError):
        return _PREFIX
