"""The submissions that `run --on slurm` would make now: batches, limits, and all batch scripts. Writes no files.

It uses the functions of `advance` up to the point of publishing. Limits are read from SLURM if it is available; without
SLURM, for example on a laptop, usual limits are assumed.
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
"""Limits of a SLURM with its default configuration, for machines without SLURM."""

_PREFIX = "lth-xxxxxxxx"
"""Placeholder for the prefix of a sweep's job names, a random number chosen at its first submission."""


@dataclass(frozen=True)
class Planned:
    """One call of sbatch.

    Attributes:
        intent: the entry for the journal.
        batch: None for a follow-up.
        text: the batch script. Ids of jobs that are not submitted yet are written as "ID-OF-" and their name.
    """

    intent: Submission
    batch: Batch | None
    text: str


@dataclass(frozen=True)
class Preview:
    """Result of a step without submission.

    Attributes:
        site: the cluster, from profile and file.
        limits: of the cluster.
        assumed: why the usual limits are used instead of the cluster's; "" if they were read.
        glance: jobs that were submitted before.
        batches: all remaining runs, packed.
        planned: submissions that would be made now.
        tick: the follow-up that would be submitted; None if one exists, or none is needed.
        room: elements that can be submitted now; None for any number.
        costs: the packed runs, in seconds.
        failed: number of runs that failed or were canceled, or have such an ancestor.
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
    failed: int

    @property
    def jobs(self) -> int:
        """Return the elements of all batches, without runs that wait for the time of an epoch."""
        return sum(batch.elements for batch in self.batches)

    @property
    def jobs_now(self) -> int:
        """Return the elements that would be submitted now."""
        return sum(planned.intent.elements for planned in self.planned)

    @property
    def runs_later(self) -> int:
        """Return the runs that the follow-up would submit."""
        now = sum(len(keys) for planned in self.planned for keys in planned.intent.parcels)
        return len(self.costs.nodes) + self.costs.waiting - now

    @property
    def device_hours(self) -> float | None:
        """Return GPU-hours of all batches, core-hours without GPUs; None if no epoch was measured."""
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
        work: runs without a record.

    Raises:
        RefusedError: if SLURM is available and has no such partition.
        SpecError: if sbatch cannot represent an option.
        LaunchError: if submitit is not installed.
    """
    seen = glance(sweep, lambda: site)
    standing = seen.standing or Standing(())
    limits, assumed = _limits(site)
    failed = {key for key, failure in work.found.failures.items() if failure.is_final}
    left = still_open(work.nodes, standing.covered, failed)
    halted = (
        seen.halt is not None and seen.halt.by != "user"
    )  # `run` by hand resumes a sweep that a user canceled
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
    """Names, numbers and scripts, as the step would create them."""

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
        """Return a submission of each batch, except batches whose dependencies SLURM has not confirmed yet."""
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
        """Return the follow-up: after all these jobs, or by the clock if there are none."""
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
