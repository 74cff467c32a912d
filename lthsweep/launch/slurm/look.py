"""What a coordinator knows before it decides: records, journal, queue, and which runs are not worth another job."""

from __future__ import annotations

import socket
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from lthsweep.launch.scheduler import Node
from lthsweep.launch.slurm.breaker import NodeEnd, bad_nodes, trips
from lthsweep.launch.slurm.cluster.queue import Element, find_by_name, read_queue
from lthsweep.launch.slurm.cluster.sbatch import cancel
from lthsweep.launch.slurm.endings import endings, silent
from lthsweep.launch.slurm.halt import Halt, forgiven, halt, read_halt
from lthsweep.launch.slurm.journal import Submission, note_id, read_journal, read_submission, void
from lthsweep.launch.slurm.sites.site import Site
from lthsweep.launch.slurm.standing import YOUNG_SECONDS, Place, Standing, stand, strikes
from lthsweep.launch.slurm.traces import has_ended, last_words, nodes_of, read_end, started
from lthsweep.launch.work import Work, work_left
from lthsweep.plan.run import Plan
from lthsweep.store import failures
from lthsweep.store.layout import SweepDir

__all__ = ["View", "look", "settle", "still_open"]


@dataclass(frozen=True)
class View:
    """One look.

    Attributes:
        work: what has no record yet.
        number: of the last submission in the journal; a decision made from this view is number + 1.
        standing: how the jobs stand.
        given_up: run → cause, for runs that get no further job.
        open: nodes that may get a job now or later: neither covered nor given up nor behind one that is.
        bad_nodes: nodes of the cluster on which everything fails.
        halt: why nothing is to be submitted, if so.
    """

    work: Work
    number: int
    standing: Standing
    given_up: Mapping[str, str]
    open: tuple[Node, ...]
    bad_nodes: frozenset[str]
    halt: Halt | None

    @property
    def is_over(self) -> bool:
        """Nothing is left that can be trained, and nothing is being trained."""
        return not self.open and not self.standing.covered


def look(plan: Plan, sweep: SweepDir, site: Site) -> View:
    """Look at queue, journal and records, in this order: what is submitted in between is young, what ends is done.

    Raises:
        ClusterSilentError: if SLURM cannot be asked; nothing may be concluded then.
        StoreError: if the directory cannot be read or written.
    """
    queue = _take_back_stuck(read_queue(), sweep)
    journal = settle(sweep, read_journal(sweep), queue, site.lag_seconds)
    young = min(site.lag_seconds, YOUNG_SECONDS)

    def fresh(submission: Submission, index: int) -> bool:
        return _is_young(submission, young) and not has_ended(sweep, submission.name, index)

    standing = stand(journal, queue, fresh=fresh)
    work = work_left(plan, sweep)
    last = journal[-1].number if journal else 0
    amnesty = forgiven(sweep)
    places = [place for place in standing.places if place.submission.number > amnesty and not place.is_live]
    ends = endings(sweep, places)
    shunned = bad_nodes(ends)
    stopped = read_halt(sweep) or _break(sweep, work, standing, ends, shunned)
    given_up = _give_up(sweep, work, standing, amnesty, site.attempts, shunned)
    return View(
        work=work,
        number=last,
        standing=standing,
        given_up=given_up,
        open=still_open(work.nodes, standing.covered, given_up),
        bad_nodes=shunned,
        halt=stopped,
    )


def _take_back_stuck(queue: Sequence[Element], sweep: SweepDir) -> list[Element]:
    """Cancel jobs that SLURM holds back after it could not start them; what is left is the queue.

    Nobody would ever release them, and what waits for them would wait for ever. A new job takes their runs, as if they
    had vanished.
    """
    names = {submission.name for submission in read_journal(sweep)}
    stuck = [element for element in queue if element.is_stuck and element.name in names]
    if stuck:
        cancel([element.id for element in stuck])
    return [element for element in queue if element not in stuck]


def settle(
    sweep: SweepDir, journal: Sequence[Submission], queue: Sequence[Element], lag_seconds: float
) -> list[Submission]:
    """Find the jobs of submissions whose coordinator died before it wrote their ids down.

    SLURM is asked for the name. Found: the job is adopted. Not found, and long enough ago that sbatch itself is over:
    the submission is void, and its runs are free to be submitted again.
    """
    by_name = {element.name: element.job for element in queue}
    settled = []
    for submission in journal:
        if submission.fate == "open" and submission.job is None:
            job = by_name.get(submission.name)
            if job is None and not _is_young(submission, lag_seconds):
                job = find_by_name(submission.name)
                if job is None:
                    void(sweep, submission.name, "no job of this name reached SLURM")
            if job is not None:
                note_id(sweep, submission.name, job)
            submission = read_submission(sweep, submission.name)
        settled.append(submission)
    return settled


def _is_young(submission: Submission, lag_seconds: float) -> bool:
    return time.time() - submission.created < lag_seconds


def still_open(
    nodes: Sequence[Node], covered: Collection[str], given_up: Collection[str]
) -> tuple[Node, ...]:
    """Nodes that no job has and that are neither given up nor behind one that is."""
    hopeless = set(given_up)
    found = []
    for node in nodes:  # parents come first
        if node.parent in hopeless:
            hopeless.add(node.key)
        if node.key not in hopeless and node.key not in covered:
            found.append(node)
    return tuple(found)


def _give_up(
    sweep: SweepDir, work: Work, standing: Standing, amnesty: int, attempts: int, shunned: Collection[str]
) -> dict[str, str]:
    """Runs that failed by themselves, and runs whose jobs ended `attempts` times in a row with nothing done.

    What ended on a bad node says nothing of the run.
    """
    found = {}
    missing = {node.key for node in work.nodes}
    blames = _Blames(sweep, missing, {node.key: node.parent for node in work.nodes})
    known = failures.read_failures(sweep)
    for node in work.nodes:
        failure = known.get(node.key)
        if failure is not None and failure.is_final:
            found[node.key] = failure.cause
        elif node.key not in standing.covered:
            gone = [
                place
                for place in standing.gone(node.key)
                if place.submission.number > amnesty and not _was_on(sweep, place, shunned)
            ]
            count = strikes(node.key, gone, blames)
            if count >= attempts:
                found[node.key] = _record(sweep, node.key, gone[-1], count, failure.cause if failure else "")
    return found


class _Blames:
    """For which runs a gone element is to blame; looked up once per element."""

    def __init__(self, sweep: SweepDir, missing: Collection[str], parents: Mapping[str, str | None]) -> None:
        self._sweep = sweep
        self._missing = missing
        self._parents = parents
        self._known: dict[tuple[str, int], Collection[str] | None] = {}

    def __call__(self, place: Place) -> Collection[str] | None:
        name = place.submission.name, place.index
        if name not in self._known:
            self._known[name] = self._judge(place)
        return self._known[name]

    def _judge(self, place: Place) -> Collection[str] | None:
        since = started(self._sweep, place.submission)
        moved = {key for key in place.keys if key not in self._missing or self._has_moved(key, since)}
        end = read_end(self._sweep, place.submission.name, place.index)
        if moved:
            return () if end is None else set(end.broke) - moved
        if end is not None and (end.broke or end.failed or end.stopped != "time"):
            return end.broke
        # A job whose parents came to nothing was taken from the queue by SLURM, and never had a chance.
        had_a_chance = {key for key in place.keys if self._parents.get(key) not in self._missing}
        return None if len(had_a_chance) == len(place.keys) else had_a_chance

    def _has_moved(self, key: str, since: float) -> bool:
        try:
            return self._sweep.checkpoint(key).stat().st_mtime > since
        except OSError:
            return False


def _was_on(sweep: SweepDir, place: Place, nodes: Collection[str]) -> bool:
    """Whether an element was started last on one of some nodes."""
    return bool(nodes) and nodes_of(sweep, place.submission.name, place.index)[-1:] in [(n,) for n in nodes]


def _record(sweep: SweepDir, key: str, last: Place, count: int, cause: str) -> str:
    """Write down that a run was given up; `cause` is what the machine did to it the last time, if that is known."""
    words = cause or last_words(sweep, last.submission, last.index)
    nodes = nodes_of(sweep, last.submission.name, last.index)
    cause = (
        f"{count} jobs in a row ended before it got anywhere, the last"
        f"{f' on {nodes[-1]}' if nodes else ', which never started,'} as {last.submission.name}"
        f"{f', saying: {words}' if words else ''}"
    )
    failures.record_failure(
        sweep,
        key,
        failures.Failure(
            cause=cause,
            kind=failures.GAVE_UP,
            host=nodes[-1] if nodes else socket.gethostname(),
            attempt=count,
            log=str(sweep.submission(last.submission.name).relative_to(sweep.path)),
            time=time.time(),
            infrastructure=True,
        ),
    )
    return cause


def _break(
    sweep: SweepDir, work: Work, standing: Standing, ends: Sequence[NodeEnd], shunned: Collection[str]
) -> Halt | None:
    """Identical early failures: of runs, or of jobs that ended before they did anything."""
    settled = (failures.CANCELLED, failures.GAVE_UP)
    causes = [failure.cause for failure in work.found.failures.values() if failure.kind not in settled]
    causes += silent(ends, shunned, at_work=bool(standing.live))
    why = trips(causes, len(work.found.done))
    if why is None:
        return None
    halt(sweep, why, "breaker")
    return read_halt(sweep)
