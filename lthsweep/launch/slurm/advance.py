"""One step of a sweep on SLURM: look, and submit what has no record, no job and no reason to be left alone.

`lthsweep run --on slurm`, the sweep's own follow-up jobs and jobs that end with nobody to follow all take this step. It
may be taken at any time, by anybody, any number of times at once: what it decides is published in the journal before
SLURM hears of it, and stands only if no other decision was published in between.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from lthsweep.errors import JobLimitError
from lthsweep.launch.scheduler import Node
from lthsweep.launch.slurm.cluster.limits import Limits, read_limits
from lthsweep.launch.slurm.journal import Submission
from lthsweep.launch.slurm.look import View, look
from lthsweep.launch.slurm.packing.pack import Batch, fit, pack
from lthsweep.launch.slurm.sites.site import Site
from lthsweep.launch.slurm.submitting import Overtaken, submit_batch, submit_tick
from lthsweep.launch.work import seconds_per_epoch
from lthsweep.plan.estimate import recipe_id
from lthsweep.plan.run import Plan
from lthsweep.store.layout import SweepDir

__all__ = ["Advance", "Costed", "advance", "batches_of", "costed", "room_for", "walltime_limit"]


@dataclass(frozen=True)
class Advance:
    """What one step found and did.

    Attributes:
        view: what it decided from.
        limits: of the cluster; None where nothing was to be submitted.
        submitted: arrays that were handed over.
        tick: the follow-up job that comes after, new or old; None if none is needed, or none was accepted.
        later: runs that wait for a later step.
        refusal: what SLURM said to the first array that it did not take for now.
        guessed: the seconds per epoch are not known; only the dense runs were submitted, and they will tell.
    """

    view: View
    limits: Limits | None = None
    submitted: tuple[Submission, ...] = ()
    tick: Submission | None = None
    later: int = 0
    refusal: str = ""
    guessed: bool = False


@dataclass(frozen=True)
class Costed:
    """Runs with their expected seconds.

    Attributes:
        nodes: cost in seconds.
        guessed: some recipe was never measured. Its dense runs count as long as a job should be, so that each worker
            of a job gets one, and its tickets wait until these have told how long an epoch takes. They would have to
            wait for their trunk anyway, and a waiting job gains no priority.
        waiting: how many runs were left out for that.
    """

    nodes: tuple[Node, ...]
    guessed: bool
    waiting: int


def advance(plan: Plan, sweep: SweepDir, site: Site, *, own: str | None = None) -> Advance:
    """Take one step.

    Args:
        plan: all runs.
        sweep: its journal must be open.
        site: the cluster.
        own: name of the submission whose job takes this step, which is no follow-up to count on.

    Raises:
        ClusterSilentError: if SLURM cannot be asked, or did not say whether it took a job. Take the step again later.
        RefusedError: if SLURM refuses a job for what it asks for; the message says which option to change.
        StoreError: if the journal cannot be written.
    """
    handed: list[Submission] = []
    while True:
        view = look(plan, sweep, site)
        try:
            return _act(plan, sweep, site, view, own, handed)
        except (
            Overtaken
        ):  # another coordinator published a decision meanwhile; it may have made ours needless
            continue


def _act(
    plan: Plan, sweep: SweepDir, site: Site, view: View, own: str | None, handed: list[Submission]
) -> Advance:
    standing = view.standing
    if view.halt is not None or view.is_over:
        return Advance(view)
    tick = standing.follow_up(other_than=own)
    if not view.open:
        after = standing.live if standing.listed else ()
        return Advance(view, tick=tick or _Step(sweep, site, view).follow(after))

    limits = read_limits(site)
    ready = costed(plan, sweep, site, view.open, standing.covered)
    batches = batches_of(ready.nodes, site, limits, standing.covered.keys())
    room = room_for(site, limits, standing.live_elements, reserve=0 if tick else 1)
    fitting = fit(batches, room)
    step = _Step(sweep, site, view)
    try:
        step.submit(fitting)
    finally:
        handed += step.submitted.values()
    if tick is None:
        cut_short = bool(step.refusal) or fitting != batches or not standing.listed
        tick = step.follow(() if cut_short else (*standing.live, *step.submitted.values()))
    runs = sum(len(keys) for submission in step.submitted.values() for keys in submission.parcels)
    return Advance(
        view, limits, tuple(handed), tick, len(view.open) - runs, step.refusal, guessed=ready.guessed
    )


@dataclass
class _Step:
    """The submissions of one step, one after the other, each under the next number of the journal."""

    sweep: SweepDir
    site: Site
    view: View
    submitted: dict[int, Submission] = field(default_factory=dict)
    refusal: str = ""

    def __post_init__(self) -> None:
        self._number = self.view.number

    def submit(self, batches: Sequence[Batch]) -> None:
        """Hand over batches in order, until SLURM takes no more."""
        elsewhere = self.view.standing.covered
        for index, batch in enumerate(batches):
            waits = {elsewhere[key].submission.name: elsewhere[key].submission for key in batch.waits_for}
            after = [self.submitted.get(earlier) for earlier in batch.after] + list(waits.values())
            settled = [submission for submission in after if submission is not None and submission.job]
            if len(settled) < len(after):
                continue  # it is not known yet whether what it waits for is queued; a later step knows
            self._number += 1
            try:
                self.submitted[index] = submit_batch(
                    self.sweep, self.site, self._number, batch, settled, exclude=self.view.bad_nodes
                )
            except JobLimitError as refusal:  # nothing of it was queued, and its runs stay open
                self.refusal = str(refusal)
                return

    def follow(self, after: Sequence[Submission]) -> Submission | None:
        """Leave a follow-up job; where there is no room for one, a job that ends with nobody to follow steps in."""
        self._number += 1
        try:
            return submit_tick(self.sweep, self.site, self._number, after=after, exclude=self.view.bad_nodes)
        except JobLimitError as refusal:
            self.refusal = self.refusal or str(refusal)
            return None


def costed(
    plan: Plan, sweep: SweepDir, site: Site, nodes: Sequence[Node], in_flight: Collection[str]
) -> Costed:
    """Turn the epochs of runs into seconds, by what earlier runs of the directory measured.

    Args:
        plan: all runs.
        sweep: where timings are.
        site: what a job should last.
        nodes: runs that are left, cost in epochs.
        in_flight: runs that jobs work on, or will.
    """
    known = seconds_per_epoch(plan, sweep)
    names: dict[int, str] = {}
    there = {node.key for node in nodes}
    found: list[Node] = []
    guessed, waiting = False, 0
    for node in nodes:
        budget, recipe = plan[node.key].budget, plan[node.key].recipe
        if (
            budget is not None
        ):  # says itself how long it takes; walltime has slack for the epoch that it may overrun
            found.append(Node(node.key, node.parent, budget.seconds))
            continue
        seconds = known.get(names.setdefault(id(recipe), recipe_id(recipe)))
        if seconds is not None:
            found.append(Node(node.key, node.parent, node.cost * seconds))
            continue
        guessed = True
        if node.parent in there or node.parent in in_flight:
            waiting += 1
        else:
            found.append(Node(node.key, node.parent, 60 * site.target_minutes))
    return Costed(tuple(found), guessed, waiting)


def batches_of(nodes: Sequence[Node], site: Site, limits: Limits, in_flight: Collection[str]) -> list[Batch]:
    """Pack runs as this cluster takes them; cost in seconds."""
    return pack(
        nodes,
        workers=site.slots,
        target=60 * site.target_minutes,
        floor=60 * site.floor_minutes,
        limit=walltime_limit(site, limits),
        max_array=limits.max_array,
        in_flight=in_flight,
    )


def walltime_limit(site: Site, limits: Limits) -> float | None:
    """Seconds that a job may last at most."""
    known = [minutes for minutes in (site.minutes, limits.minutes) if minutes is not None]
    return 60.0 * min(known) if known else None


def room_for(site: Site, limits: Limits, live: int, *, reserve: int) -> int | None:
    """How many elements may be submitted now; None for any number.

    Args:
        site: its own cap, a matter of manners.
        limits: what SLURM allows beside what is in the queue already.
        live: elements of this sweep in the queue.
        reserve: jobs to leave room for.
    """
    rooms: Mapping[str, int | None] = {
        "cluster": limits.room,
        "own": None if site.max_elements is None else site.max_elements - live,
    }
    known = [room for room in rooms.values() if room is not None]
    return max(0, min(known) - reserve) if known else None
