"""The program of a worker job: trains its share, then pulls ready runs until none is left or its time is nearly over.

    python -m lthsweep.launch.slurm.worker_job SWEEP SUBMISSION

Workers are started once and train one run after the other, with the same loop as every other launcher. Claims in the
sweep directory decide which of several jobs trains a run. When a run that ends makes more runs ready than this job has
workers, the job submits more worker jobs.

All interruptions are handled in the same way: at a signal (preemption, cancellation, the notice before the time limit)
or when its clock runs out the job requests checkpoints from its workers and records its progress. If only its time is
over, it requeues itself under the same id. A killed job leaves its last periodic checkpoints, and the next step of the
sweep finds that it is gone.

Exit status: 0 if its runs have records, 1 if one failed, 3 if some are left.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from lthsweep.errors import ClusterSilentError, LthsweepError
from lthsweep.launch.coordinator import RunHooks, coordinate
from lthsweep.launch.dispatch import Elsewhere, OnMessage, RunSummary
from lthsweep.launch.events import Failed, Finished, Message, RunProgress
from lthsweep.launch.local_pool import LocalPool
from lthsweep.launch.slots import Slot, core_limit, count_gpus, place_workers, usable_cores
from lthsweep.launch.slurm.advance import advance, last_step
from lthsweep.launch.slurm.circuit_breaker import trips
from lthsweep.launch.slurm.cluster.queue import live_jobs
from lthsweep.launch.slurm.cluster.sbatch import requeue
from lthsweep.launch.slurm.halt import halt, read_halt
from lthsweep.launch.slurm.job_files import KILLED, End, forget_end, write_end
from lthsweep.launch.slurm.journal import mark_started, read_submission
from lthsweep.launch.slurm.reconcile import still_open
from lthsweep.launch.slurm.sites.site import Site, site_of
from lthsweep.launch.task import STALE_SECONDS
from lthsweep.launch.work import Work, seconds_of, seconds_per_epoch, work_left
from lthsweep.plan.expand import expand
from lthsweep.plan.run import Plan
from lthsweep.spec import Spec, load_spec
from lthsweep.store import claims, failures
from lthsweep.store.layout import SweepDir
from lthsweep.store.owners import Owner, this_process
from lthsweep.store.record import read_summary

__all__ = ["Clock", "main", "work"]

EXIT_INCOMPLETE = 3

PATIENCE_SECONDS = 30.0
"""Time after which a job leaves if no run is ready for it."""

CLAIM_SECONDS = 2.0
"""Time for the workers of this job to claim their next runs before others are submitted for the rest."""


def main(arguments: list[str] | None = None) -> int:
    """Work as one worker job of a submission."""
    path, name = sys.argv[1:] if arguments is None else arguments
    sweep = SweepDir(Path(path))
    index = int(os.environ.get("SLURM_ARRAY_TASK_ID") or 0)
    job = os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ["SLURM_JOB_ID"]
    if not mark_started(sweep, name, job):
        print(f"{name} was given up before this job started; no runs to train")
        return 0
    if (stopped := read_halt(sweep)) is not None:
        print(f"the sweep is halted: {stopped.why}")
        write_end(sweep, name, index, End(stopped="halt", node=_node()))
        return 0
    forget_end(sweep, name, index)
    submission = read_submission(sweep, name)
    spec = load_spec(str(sweep.sweep_toml))
    plan, site = expand(spec), site_of(spec)
    clock = Clock(submission.minutes, site.grace_seconds)
    marker = _KilledMarker(sweep, name, index, spec.local.checkpoint_seconds)
    end = work(plan, sweep, site, submission.keys(index), clock, marker)
    write_end(sweep, name, index, end)
    print(
        f"{name} element {index}: {len(end.worked)} finished, {len(end.broke) + len(end.failed)} broke or failed"
    )
    if end.failed:
        _halt_on_equal_failures(plan, sweep)
    if end.stopped == "time" and requeue(_own_id()):
        print("out of time; back in the queue")
        return EXIT_INCOMPLETE
    _take_step(plan, sweep, site)
    left = {node.key for node in work_left(plan, sweep).nodes} & set(submission.keys(index))
    return 1 if end.failed else EXIT_INCOMPLETE if left else 0


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


def work(
    plan: Plan, sweep: SweepDir, site: Site, share: Collection[str], clock: Clock, on_message: OnMessage
) -> End:
    """Train a share, then other ready runs.

    Args:
        plan: all runs.
        sweep: the sweep directory.
        site: the cluster.
        share: the runs to take first.
        clock: when to stop.
        on_message: receives the messages of the job's workers.
    """
    node = _node()
    left = work_left(plan, sweep)
    final = {key for key, failure in failures.read_failures(sweep).items() if failure.is_final}
    runs = still_open(left.nodes, final)
    if not runs or clock():
        return End(stopped=clock.why, node=node)
    others = _Others(plan, sweep, site, share, left, clock)
    surplus = _Surplus(plan, sweep, site)

    def note(message: Message) -> None:
        others.note(message)
        surplus.note(message)
        on_message(message)

    def should_stop() -> bool:
        surplus.submit()
        return clock()

    hooks = RunHooks(note, should_stop, elsewhere=others.find, patience=others.patience)
    pool = LocalPool(sweep, slots_here(plan.spec, site)[: len(runs)])
    try:
        summary = coordinate(plan, sweep, replace(left, nodes=runs), pool, hooks=hooks, first=share)
    except BaseException:
        pool.kill()
        raise
    return _end_of(summary, sweep, clock, node)


def slots_here(spec: Spec, site: Site) -> list[Slot]:
    """Return the slots of a job's workers: on its GPUs, or on its cores.

    The site can place several workers on a GPU. Where SLURM does not bind cores, a job sees all cores of its node, and
    uses only as many as it was allocated.
    """
    cores = usable_cores()
    given = int(os.environ.get("SLURM_CPUS_PER_TASK") or len(cores))
    gpus = count_gpus() if spec.local.devices != "cpu" else 0
    workers: int | str = "auto" if site.workers is None else site.workers
    if workers == "auto" and gpus:
        workers = site.workers_per_gpu * gpus
    return place_workers(
        workers=workers,
        threads=spec.local.threads,
        devices=spec.local.devices,
        pin=spec.local.pin,
        cores=cores,
        limit=min(core_limit(cores), given),
        gpus=gpus,
    )


def _end_of(summary: RunSummary, sweep: SweepDir, clock: Clock, node: str) -> End:
    causes = failures.read_failures(sweep)
    broke = {key for key in summary.failed if key in causes and causes[key].infrastructure}
    return End(
        worked=tuple(summary.finished),
        broke=tuple(sorted(broke)),
        failed=tuple(sorted(summary.failed.keys() - broke)),
        stopped=clock.why if summary.stopped else "",
        node=node,
    )


class _KilledMarker:
    """Records in advance that this element made progress and was killed, once a run must have a record or checkpoint.

    A killed job has no time to write its end. If it ends normally, its real end replaces this one.
    """

    def __init__(self, sweep: SweepDir, name: str, index: int, checkpoint_seconds: float) -> None:
        self._place = sweep, name, index
        self._seconds = checkpoint_seconds
        self._begun: dict[str, float] = {}
        self._is_written = False

    def __call__(self, message: Message) -> None:
        event = message.event
        if self._is_written or not isinstance(event, RunProgress | Finished):
            return
        now = time.monotonic()
        if isinstance(event, Finished) or now - self._begun.setdefault(event.key, now) > self._seconds:
            write_end(*self._place, End(stopped=KILLED, node=_node()))
            self._is_written = True


class _Others:
    """What other workers did with a run, asked before this job takes it.

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
        self._next_query = 0.0

    def note(self, message: Message) -> None:
        """Read the measured seconds per epoch again after a run, and remember failures of this job."""
        if isinstance(message.event, Finished):
            self._epoch_seconds = seconds_per_epoch(self._plan, self._sweep)
        elif isinstance(message.event, Failed):
            self._failed_here.add(message.event.key)

    def find(self, key: str) -> Elsewhere | None:
        """Return why this job does not take a run now; None if it does."""
        if self._sweep.has_record(key) and key not in self._replays:
            diverged = read_summary(self._sweep.record(key)).outcome == "diverged"
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
        recorded = set(self._sweep.record_keys())
        left = (key for key in self._nodes if key not in recorded or key in self._replays)
        return PATIENCE_SECONDS if any(map(self._fits, left)) else 0.0

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
                return not claims.evict(self._sweep, key, owner.host, owner.pid)
        except ClusterSilentError:
            pass  # the state of the job is unknown; its heartbeat decides
        return True


def _is_earlier_start(owner: Owner) -> bool:
    """Return whether an owner on another node was an earlier start of this job, which runs on one node."""
    own = this_process()
    return bool(own.place) and owner.job == own.job and owner.place != own.place


class _Surplus:
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
        """Take a step of the sweep, once the workers of this job have claimed their next runs."""
        if self._due is not None and time.monotonic() >= self._due:
            self._due = None
            _take_step(self._plan, self._sweep, self._site)


def _halt_on_equal_failures(plan: Plan, sweep: SweepDir) -> None:
    known = failures.read_failures(sweep)
    causes = [known[key].cause for key in plan.runs if key in known and known[key].kind != failures.CANCELLED]
    done = sum(key in plan.runs for key in sweep.record_keys())
    if (why := trips(causes, done)) is not None:
        halt(sweep, why, "breaker")


def _take_step(plan: Plan, sweep: SweepDir, site: Site) -> None:
    """Submit worker jobs for ready runs without a worker, and a controller job if none is queued."""
    try:
        advance(plan, sweep, site)
    except LthsweepError as error:  # the training of this job goes on, or is complete
        print(f"the next step could not be taken: {error}", flush=True)


def _node() -> str:
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def _own_id() -> str:
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array else os.environ["SLURM_JOB_ID"]


if __name__ == "__main__":
    sys.exit(main())
