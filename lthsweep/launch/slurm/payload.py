"""The program of an array element: trains the runs of its parcel with the same loop as every other launcher.

    python -m lthsweep.launch.slurm.payload SWEEP SUBMISSION

Workers are started once and train one run after the other. All interruptions are handled in the same way: at a signal
(preemption, cancellation, the notice before the time limit) or when its clock runs out the job requests checkpoints
from its workers and records its progress. If only its time is over, it requeues itself under the same id, so that its
dependents keep waiting. A killed job leaves its last periodic checkpoints, and the next step of the sweep finds that it
is gone.

Exit status: 0 if all its runs have records, 1 if one failed, 3 if some are left.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from lthsweep.errors import ClusterSilentError, LthsweepError
from lthsweep.launch.coordinator import RunHooks, coordinate
from lthsweep.launch.dispatch import OnMessage, RunSummary
from lthsweep.launch.events import Finished, Held, Message, RunProgress
from lthsweep.launch.local_pool import LocalPool
from lthsweep.launch.slots import Slot, core_limit, count_gpus, place_workers, usable_cores
from lthsweep.launch.slurm.advance import advance
from lthsweep.launch.slurm.breaker import trips
from lthsweep.launch.slurm.cluster.queue import live_jobs
from lthsweep.launch.slurm.cluster.sbatch import requeue
from lthsweep.launch.slurm.halt import halt, read_halt
from lthsweep.launch.slurm.journal import mark_started, read_journal, read_submission
from lthsweep.launch.slurm.sites.site import Site, site_of
from lthsweep.launch.slurm.traces import KILLED, End, forget_end, read_end, write_end
from lthsweep.launch.task import STALE_SECONDS
from lthsweep.launch.work import Work, work_left
from lthsweep.plan.expand import expand
from lthsweep.plan.run import Plan
from lthsweep.spec import Spec, load_spec
from lthsweep.store import claims, failures
from lthsweep.store.layout import SweepDir
from lthsweep.store.owners import Owner, this_process

__all__ = ["Clock", "main", "work_parcel"]

EXIT_INCOMPLETE = 3


def main(arguments: list[str] | None = None) -> int:
    """Train one element of a submission."""
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
    end = work_parcel(plan, sweep, site, submission.keys(index), clock, marker)
    write_end(sweep, name, index, end)
    print(
        f"{name} element {index}: {len(end.worked)} finished, {len(end.broke) + len(end.failed)} broke or failed"
    )
    if end.failed:
        _halt_on_equal_failures(plan, sweep)
    if end.stopped == "time" and requeue(_own_id()):
        print("out of time; back in the queue")
        return EXIT_INCOMPLETE
    _take_next_step(plan, sweep, site)
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

    def _note(self, why: str) -> None:
        self.why = self.why or why


def work_parcel(
    plan: Plan, sweep: SweepDir, site: Site, keys: tuple[str, ...], clock: Clock, on_event: OnMessage
) -> End:
    """Train the remaining runs whose parents are finished; `on_event` receives the messages of workers."""
    node = _node()
    work = _trainable(work_left(plan, sweep), keys, _given_up(sweep))
    if not work.nodes or clock():
        return End(stopped=clock.why, node=node)
    evict = _Evictor(sweep, site)

    def on_message(message: Message) -> None:
        evict(message)
        on_event(message)

    pool = LocalPool(sweep, slots_here(plan.spec, site)[: len(work.nodes)])
    try:
        summary = coordinate(plan, sweep, work, pool, hooks=RunHooks(on_message, clock))
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


def _trainable(work: Work, keys: tuple[str, ...], given_up: set[str]) -> Work:
    """Return the remaining runs of a parcel, without those whose parent an earlier job did not finish."""
    missing = {node.key for node in work.nodes}
    chosen: set[str] = set()
    nodes = []
    for node in work.nodes:
        has_parent = node.parent not in missing or node.parent in chosen
        if node.key in keys and has_parent and node.key not in given_up:
            chosen.add(node.key)
            nodes.append(node)
    return replace(work, nodes=tuple(nodes))


def _given_up(sweep: SweepDir) -> set[str]:
    return {key for key, failure in failures.read_failures(sweep).items() if failure.is_final}


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


class _Evictor:
    """Releases runs claimed by a job that SLURM no longer lists, for example because its node lost power."""

    def __init__(self, sweep: SweepDir, site: Site) -> None:
        self._sweep = sweep
        self._seconds = site.poll_seconds
        self._next = 0.0

    def __call__(self, message: Message) -> None:
        event = message.event
        if not isinstance(event, Held) or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._seconds
        owner = claims.holder(self._sweep, event.key, STALE_SECONDS)
        if owner is None or not owner.job:
            return
        try:
            if self._is_me(owner) or owner.job not in live_jobs([owner.job]):
                claims.evict(self._sweep, event.key, owner.host, owner.pid)
        except ClusterSilentError:
            pass  # the state of the job is unknown; its heartbeat decides

    @staticmethod
    def _is_me(owner: Owner) -> bool:
        """Return whether an owner on another node was an earlier start of this job, which runs on one node."""
        own = this_process()
        return bool(own.place) and owner.job == own.job and owner.place != own.place


def _halt_on_equal_failures(plan: Plan, sweep: SweepDir) -> None:
    known = failures.read_failures(sweep)
    causes = [known[key].cause for key in plan.runs if key in known and known[key].kind != failures.CANCELLED]
    done = sum(key in plan.runs for key in sweep.record_keys())
    if (why := trips(causes, done)) is not None:
        halt(sweep, why, "breaker")


def _take_next_step(plan: Plan, sweep: SweepDir, site: Site) -> None:
    """Take the next step here if the sweep's follow-up was lost, or was never accepted by SLURM."""
    ticks = [s for s in read_journal(sweep) if s.kind == "tick" and s.fate != "void"]
    names = {tick.job: tick.name for tick in ticks if tick.job and read_end(sweep, tick.name, 0) is None}
    try:
        queued = live_jobs(names)
        if any(line.name == names[job] and not line.is_stuck for job, line in queued.items()):
            return
        advance(plan, sweep, site)
    except LthsweepError as error:  # the training of this job is complete
        print(f"the next step could not be taken: {error}")


def _node() -> str:
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def _own_id() -> str:
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array else os.environ["SLURM_JOB_ID"]


if __name__ == "__main__":
    sys.exit(main())
