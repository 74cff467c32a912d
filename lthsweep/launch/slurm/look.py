"""State that a coordinator decides from: records, journal, queue, and runs without another attempt."""

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
from lthsweep.launch.slurm.halt import Halt, halt, read_halt, read_reset
from lthsweep.launch.slurm.journal import Submission, note_id, read_journal, read_submission, void
from lthsweep.launch.slurm.sites.site import Site
from lthsweep.launch.slurm.standing import YOUNG_SECONDS, Place, Standing, failed_attempts, stand
from lthsweep.launch.slurm.traces import has_ended, last_log_line, nodes_of, read_end, started
from lthsweep.launch.work import Work, work_left
from lthsweep.plan.run import Plan
from lthsweep.store import failures
from lthsweep.store.layout import SweepDir

__all__ = ["View", "look", "settle", "still_open"]


@dataclass(frozen=True)
class View:
    """State of a sweep at one moment.

    Attributes:
        work: runs without a record.
        number: of the last submission in the journal; a decision based on this view is number + 1.
        standing: status of the jobs.
        failed: run → cause, for runs without another attempt.
        open: nodes that can get a job now or later: neither covered nor failed nor below a failed run.
        bad_nodes: nodes of the cluster on which all elements fail.
        halt: why the sweep is halted, if so.
    """

    work: Work
    number: int
    standing: Standing
    failed: Mapping[str, str]
    open: tuple[Node, ...]
    bad_nodes: frozenset[str]
    halt: Halt | None

    @property
    def is_over(self) -> bool:
        """True if no run can be trained any more and none is being trained."""
        return not self.open and not self.standing.covered


def look(plan: Plan, sweep: SweepDir, site: Site) -> View:
    """Read queue, journal and records, in this order, so that no submission or record in between is missed.

    A submission made in between is recent, and a run that ends in between has its record.

    Raises:
        ClusterSilentError: if SLURM does not answer; the state of the jobs is unknown then.
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
    last_reset = read_reset(sweep)
    places = [
        place for place in standing.places if place.submission.number > last_reset and not place.is_live
    ]
    ends = endings(sweep, places)
    blocklisted = bad_nodes(ends)
    stopped = read_halt(sweep) or _trip_breaker(sweep, work, standing, ends, blocklisted)
    failed = _find_failed(sweep, work, standing, last_reset, site.attempts, blocklisted)
    return View(
        work=work,
        number=last,
        standing=standing,
        failed=failed,
        open=still_open(work.nodes, standing.covered, failed),
        bad_nodes=blocklisted,
        halt=stopped,
    )


def _take_back_stuck(queue: Sequence[Element], sweep: SweepDir) -> list[Element]:
    """Cancel jobs that SLURM holds after a failed launch, and return the rest of the queue.

    SLURM would never release them, and their dependents would wait forever. A new job takes their runs, as if they had
    vanished.
    """
    names = {submission.name for submission in read_journal(sweep)}
    stuck = [element for element in queue if element.is_stuck and element.name in names]
    if stuck:
        cancel([element.id for element in stuck])
    return [element for element in queue if element not in stuck]


def settle(
    sweep: SweepDir, journal: Sequence[Submission], queue: Sequence[Element], lag_seconds: float
) -> list[Submission]:
    """Find the jobs of submissions whose coordinator died before it recorded their ids.

    SLURM is searched for the name. If the job is found, its id is recorded. If it is not found, and the submission is
    so old that sbatch itself must have ended, the submission is void, and its runs can be submitted again.
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


def still_open(nodes: Sequence[Node], covered: Collection[str], failed: Collection[str]) -> tuple[Node, ...]:
    """Return the nodes without a job that have neither failed nor a failed ancestor."""
    blocked = set(failed)
    found = []
    for node in nodes:  # parents come first
        if node.parent in blocked:
            blocked.add(node.key)
        if node.key not in blocked and node.key not in covered:
            found.append(node)
    return tuple(found)


def _find_failed(
    sweep: SweepDir,
    work: Work,
    standing: Standing,
    last_reset: int,
    attempts: int,
    blocklisted: Collection[str],
) -> dict[str, str]:
    """Return run → cause for final failures and runs whose last `attempts` jobs all ended without progress.

    Jobs that ended on a blocklisted node do not count against a run.
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
                if place.submission.number > last_reset and not _was_on(sweep, place, blocklisted)
            ]
            count = failed_attempts(node.key, gone, blames)
            if count >= attempts:
                found[node.key] = _record(sweep, node.key, gone[-1], count, failure.cause if failure else "")
    return found


class _Blames:
    """The runs for which an ended element is to blame; computed once per element."""

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
        # SLURM cancels a job whose dependency failed, so runs with unfinished parents had no chance to start.
        had_a_chance = {key for key in place.keys if self._parents.get(key) not in self._missing}
        return None if len(had_a_chance) == len(place.keys) else had_a_chance

    def _has_moved(self, key: str, since: float) -> bool:
        try:
            return self._sweep.checkpoint(key).stat().st_mtime > since
        except OSError:
            return False


def _was_on(sweep: SweepDir, place: Place, nodes: Collection[str]) -> bool:
    """Return whether the last start of an element was on one of some nodes."""
    return bool(nodes) and nodes_of(sweep, place.submission.name, place.index)[-1:] in [(n,) for n in nodes]


def _record(sweep: SweepDir, key: str, last: Place, count: int, cause: str) -> str:
    """Record that a run reached the retry limit; `cause` is its last infrastructure failure, if known."""
    words = cause or last_log_line(sweep, last.submission, last.index)
    nodes = nodes_of(sweep, last.submission.name, last.index)
    cause = (
        f"{count} jobs in a row ended before it got anywhere, the last"
        f"{f' on {nodes[-1]}' if nodes else ', which never started,'} as {last.submission.name}"
        f"{f'; last log line: {words}' if words else ''}"
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


def _trip_breaker(
    sweep: SweepDir, work: Work, standing: Standing, ends: Sequence[NodeEnd], blocklisted: Collection[str]
) -> Halt | None:
    """Halt the sweep on identical failures of runs, or of jobs that ended before any progress."""
    settled = (failures.CANCELLED, failures.GAVE_UP)
    causes = [failure.cause for failure in work.found.failures.values() if failure.kind not in settled]
    causes += silent(ends, blocklisted, at_work=bool(standing.live))
    why = trips(causes, len(work.found.done))
    if why is None:
        return None
    halt(sweep, why, "breaker")
    return read_halt(sweep)
