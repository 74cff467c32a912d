"""Which runs a worker job pulls, how long it stays, and when it submits more worker jobs.

The decisions follow from files that the jobs of a sweep share: records, failures, claims. SLURM is queried only for the
job of a claim, and by the steps that submit jobs.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from lthsweep.errors import ClusterSilentError, CorruptRecordError, LthsweepError
from lthsweep.launch.dispatch import Elsewhere
from lthsweep.launch.events import Failed, Finished, Message
from lthsweep.launch.slurm.advance import advance
from lthsweep.launch.slurm.cluster.queue import live_jobs
from lthsweep.launch.slurm.decisions import last_step, note_decision
from lthsweep.launch.slurm.halt import read_halt
from lthsweep.launch.slurm.sites.site import Site
from lthsweep.launch.task import STALE_SECONDS
from lthsweep.launch.work import Work, seconds_of, seconds_per_epoch
from lthsweep.plan.run import Plan
from lthsweep.store import claims, failures
from lthsweep.store.layout import SweepDir
from lthsweep.store.owners import Owner, this_process
from lthsweep.store.record import read_summary

__all__ = ["CLAIM_SECONDS", "PATIENCE_SECONDS", "Clock", "Pulling", "Surplus", "take_step"]

PATIENCE_SECONDS = 30.0
"""Time after which a job leaves if no run is ready for it."""

CLAIM_SECONDS = 2.0
"""Time for the workers of this job to claim their next runs before others are submitted for the rest."""


@dataclass
class Clock:
    """When a job has to stop: at a signal, or shortly before its time is over.

    SLURM's notice before the end may not arrive (SLURM checks the time once a minute), so the job checks it, too.

    Args:
        minutes: walltime of the job.
        grace: seconds before its end at which to stop; less in short jobs.
    """

    minutes: float
    grace: float
    why: str = field(default="", init=False)

    def __post_init__(self) -> None:
        begun = float(os.environ.get("SLURM_JOB_START_TIME") or time.time())
        seconds = 60 * self.minutes
        self._end = begun + seconds - min(self.grace, seconds / 4)
        signal.signal(signal.SIGTERM, lambda *_: self._note("signal"))
        signal.signal(signal.SIGUSR2, lambda *_: self._note("time"))

    def __call__(self) -> bool:
        """Return whether the job has to stop now."""
        if time.time() >= self._end:
            self._note("time")
        return bool(self.why)

    @property
    def seconds_left(self) -> float:
        """Return the seconds until the job has to stop."""
        return self._end - time.time()

    def _note(self, why: str) -> None:
        self.why = self.why or why


class Pulling:
    """Decides whether this job takes a run: by what other workers did with it, and by the time that is left.

    Args:
        plan: all runs.
        sweep: the sweep directory.
        site: the cluster.
        share: the runs of this job.
        left: the runs that are left.
        clock: when this job has to stop.
    """

    def __init__(
        self, plan: Plan, sweep: SweepDir, site: Site, share: Collection[str], left: Work, clock: Clock
    ) -> None:
        self._plan = plan
        self._sweep = sweep
        self._site = site
        self._share = share
        self._replays = left.replays
        self._nodes = {node.key: node for node in left.nodes}
        self._clock = clock
        self._epoch_seconds = seconds_per_epoch(plan, sweep)
        self._failed_here: set[str] = set()
        self._over: set[str] = set()
        self._next_query = 0.0

    def note(self, message: Message) -> None:
        """Read the measured seconds per epoch again after a run, and remember failures of this job."""
        if isinstance(message.event, Finished):
            self._over.add(message.event.key)
            self._epoch_seconds = seconds_per_epoch(self._plan, self._sweep)
        elif isinstance(message.event, Failed):
            self._failed_here.add(message.event.key)

    def find(self, key: str) -> Elsewhere | None:
        """Return why this job does not take a run now; None if it does."""
        if self._sweep.has_record(key) and key not in self._replays:
            self._over.add(key)
            try:
                diverged = read_summary(self._sweep.record(key)).outcome == "diverged"
            except CorruptRecordError:  # `merge` names it; its descendants wait for the repair
                return Elsewhere.FAILED
            return Elsewhere.DIVERGED if diverged else Elsewhere.DONE
        failure = failures.read_failure(self._sweep, key)
        if failure is not None and key in self._failed_here and failure.kind != failures.CANCELLED:
            failure = None  # an attempt of this job; the scheduler decides whether it is repeated
        if failure is not None and failure.is_final:
            return Elsewhere.FAILED
        if key not in self._share and (failure is not None or not self._fits(key)):
            # A run that broke elsewhere is tried again by a job that has it in its share, so that attempts are counted.
            return Elsewhere.HELD
        if read_halt(self._sweep) is not None:
            return Elsewhere.HELD
        return Elsewhere.HELD if self._is_claimed(key) else None

    def patience(self) -> float:
        """Return how long this job waits for a run: not at all if none that is left could end in time."""
        # The loop asks several times a second, so this reads no files; `find` notices records of others.
        return PATIENCE_SECONDS if any(map(self._fits, self._nodes.keys() - self._over)) else 0.0

    def _fits(self, key: str) -> bool:
        """Return whether a run is expected to end before this job has to stop."""
        seconds = seconds_of(self._plan, self._nodes[key], self._epoch_seconds)
        return seconds is None or seconds <= self._clock.seconds_left

    def _is_claimed(self, key: str) -> bool:
        """Return whether a live owner has a run, after freeing it from a job that SLURM no longer lists.

        The node of such a job may have lost power. Its claim would look alive for minutes.
        """
        owner = claims.holder(self._sweep, key, STALE_SECONDS)
        if owner is None:
            return False
        if not owner.job or time.monotonic() < self._next_query:
            return True
        self._next_query = time.monotonic() + self._site.poll_seconds
        try:
            if _is_earlier_start(owner) or owner.job not in live_jobs([owner.job]):
                note_decision(self._sweep, f"took {key} from job {owner.job}, which SLURM does not list")
                return not claims.evict(self._sweep, key, owner.host, owner.pid)
        except ClusterSilentError:
            pass  # the state of the job is unknown; its heartbeat decides
        return True


def _is_earlier_start(owner: Owner) -> bool:
    """Return whether an owner on another node was an earlier start of this job, which runs on one node."""
    own = this_process()
    return bool(own.place) and owner.job == own.job and owner.place != own.place


class Surplus:
    """Submits more worker jobs when there can be more ready runs than workers.

    That is after a run of this job made several runs ready, of which the job can pull only some, and when no process
    has taken a step for a while: jobs that were lost meanwhile are replaced.
    """

    def __init__(self, plan: Plan, sweep: SweepDir, site: Site) -> None:
        self._plan = plan
        self._sweep = sweep
        self._site = site
        self._children = Counter(run.parent for run in plan.runs.values())
        self._due: float | None = None
        self._thread: threading.Thread | None = None

    def note(self, message: Message) -> None:
        """Notice the end of a run."""
        event = message.event
        if not isinstance(event, Finished) or self._due is not None:
            return
        if (
            self._children[event.key] > 1
            or time.time() - last_step(self._sweep) > 60 * self._site.controller_minutes
        ):
            self._due = time.monotonic() + CLAIM_SECONDS

    def submit(self) -> None:
        """Start a step of the sweep, once the workers of this job have claimed their next runs."""
        if self._due is None or time.monotonic() < self._due:
            return
        if self._thread is not None and self._thread.is_alive():
            return
        self._due = None
        # SLURM can take minutes to answer. Meanwhile the job serves its workers, and stops when it is asked to.
        self._thread = threading.Thread(
            target=take_step, args=(self._plan, self._sweep, self._site), daemon=True
        )
        self._thread.start()

    def join(self) -> None:
        """Wait for the end of a step."""
        if self._thread is not None:
            self._thread.join()


def take_step(plan: Plan, sweep: SweepDir, site: Site, own: str | None = None) -> None:
    """Submit worker jobs for ready runs without a worker, and a controller job if none is queued.

    Args:
        plan: all runs.
        sweep: the sweep directory.
        site: the cluster.
        own: name of the submission of this job, if the job ends now.
    """
    try:
        advance(plan, sweep, site, own=own)
    except LthsweepError as error:  # the training of this job goes on, or is complete
        print(f"the next step could not be taken: {error}", flush=True)
