"""One step of a sweep on SLURM: read the state, and submit runs without a record, a job, or a reason not to.

`lthsweep run --on slurm`, the sweep's follow-up jobs, and training jobs that find no follow-up all take this step. Any
process can take it at any time, and several can take it at once: a decision is published in the journal before it is
submitted to SLURM, and it is valid only if no other decision was published in between.
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
    """Result of one step.

    Attributes:
        view: the state that the decision is based on.
        limits: of the cluster; None if the step had no runs to submit.
        submitted: the arrays submitted by this step.
        tick: the next follow-up job, new or old; None if none is needed, or SLURM refused it.
        later: runs left for a later step.
        refusal: SLURM's message for the first array that it refused for now.
        guessed: the seconds per epoch are unknown; only the dense runs were submitted, which will measure them.
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
        guessed: no run of some recipe has been measured. Its dense runs are planned with the target length of a job, so
            that each worker of a job gets one. Its tickets are left out until the dense runs have measured an epoch:
            they have to wait for their trunk anyway, and a waiting job gains no priority.
        waiting: number of runs left out for this reason.
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
        own: name of the submission whose job takes this step; it does not count as a follow-up.

    Raises:
        ClusterSilentError: if SLURM does not answer, or it is unknown whether it accepted a job; repeat the step later.
        RefusedError: if SLURM refuses the requested resources; the message names the option to change.
        StoreError: if the journal cannot be written.
    """
    handed: list[Submission] = []
    while True:
        view = look(plan, sweep, site)
        try:
            return _act(plan, sweep, site, view, own, handed)
        except (
            Overtaken
        ):  # another coordinator published a decision meanwhile, which can make this one unnecessary
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
    """The submissions of one step, each under the next number of the journal."""

    sweep: SweepDir
    site: Site
    view: View
    submitted: dict[int, Submission] = field(default_factory=dict)
    refusal: str = ""

    def __post_init__(self) -> None:
        self._number = self.view.number

    def submit(self, batches: Sequence[Batch]) -> None:
        """Submit batches in order, until SLURM accepts no more."""
        elsewhere = self.view.standing.covered
        for index, batch in enumerate(batches):
            waits = {elsewhere[key].submission.name: elsewhere[key].submission for key in batch.waits_for}
            after = [self.submitted.get(earlier) for earlier in batch.after] + list(waits.values())
            settled = [submission for submission in after if submission is not None and submission.job]
            if len(settled) < len(after):
                continue  # it is unknown whether its dependencies are queued; a later step submits it
            self._number += 1
            try:
                self.submitted[index] = submit_batch(
                    self.sweep, self.site, self._number, batch, settled, exclude=self.view.bad_nodes
                )
            except JobLimitError as refusal:  # no element was queued, so its runs stay open
                self.refusal = str(refusal)
                return

    def follow(self, after: Sequence[Submission]) -> Submission | None:
        """Submit a follow-up job; if SLURM accepts none, a training job takes the next step at its end."""
        self._number += 1
        try:
            return submit_tick(self.sweep, self.site, self._number, after=after, exclude=self.view.bad_nodes)
        except JobLimitError as refusal:
            self.refusal = self.refusal or str(refusal)
            return None


def costed(
    plan: Plan, sweep: SweepDir, site: Site, nodes: Sequence[Node], in_flight: Collection[str]
) -> Costed:
    """Convert the epochs of runs to seconds, using the measurements of earlier runs in the directory.

    Args:
        plan: all runs.
        sweep: contains the measurements.
        site: its target length of a job.
        nodes: remaining runs, cost in epochs.
        in_flight: runs that submitted jobs train, or will train.
    """
    known = seconds_per_epoch(plan, sweep)
    names: dict[int, str] = {}
    there = {node.key for node in nodes}
    found: list[Node] = []
    guessed, waiting = False, 0
    for node in nodes:
        budget, recipe = plan[node.key].budget, plan[node.key].recipe
        if budget is not None:  # the budget is its time; the walltime has slack for the last epoch
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
    """Pack runs into batches within the limits of the cluster; cost in seconds."""
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
    """Return the maximum length of a job in seconds; None for any."""
    known = [minutes for minutes in (site.minutes, limits.minutes) if minutes is not None]
    return 60.0 * min(known) if known else None


def room_for(site: Site, limits: Limits, live: int, *, reserve: int) -> int | None:
    """Return how many elements can be submitted now; None for any number.

    Args:
        site: its own cap, out of consideration for other users.
        limits: elements that SLURM accepts in addition to the queue.
        live: elements of this sweep in the queue.
        reserve: jobs to leave space for.
    """
    rooms: Mapping[str, int | None] = {
        "cluster": limits.room,
        "own": None if site.max_elements is None else site.max_elements - live,
    }
    known = [room for room in rooms.values() if room is not None]
    return max(0, min(known) - reserve) if known else None
