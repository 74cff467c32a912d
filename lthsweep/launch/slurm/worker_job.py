"""The program of a worker job: trains its share, then pulls ready runs until none is left or its time is nearly over.

    python -m lthsweep.launch.slurm.worker_job SWEEP SUBMISSION

Workers are started once and train one run after the other, with the same loop as every other launcher. Claims in the
sweep directory decide which of several jobs trains a run. When a run that ends makes several runs ready, the job
submits more worker jobs for those that it cannot take.

All interruptions are handled in the same way: at a signal (preemption, cancellation, the notice before the time limit)
or when its clock runs out the job requests checkpoints from its workers and records its progress. If only its time is
over, it requeues itself under the same id. A killed job leaves its last periodic checkpoints, and the next step of the
sweep finds that it is gone.

Exit status: 0 if its runs have records or the sweep is halted, 1 if one failed, 3 if some are left.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from lthsweep.launch.coordinator import RunHooks, coordinate
from lthsweep.launch.dispatch import OnMessage, RunSummary
from lthsweep.launch.events import Finished, Message, RunProgress
from lthsweep.launch.local_pool import LocalPool
from lthsweep.launch.slots import Slot, core_limit, count_gpus, place_workers, usable_cores
from lthsweep.launch.slurm.cluster.sbatch import requeue
from lthsweep.launch.slurm.halt import halt_on_equal_failures, read_halt
from lthsweep.launch.slurm.job_files import KILLED, End, forget_end, write_end
from lthsweep.launch.slurm.journal import mark_started, read_submission
from lthsweep.launch.slurm.pulling import Clock, Pulling, Surplus, take_step
from lthsweep.launch.slurm.reconcile import still_open
from lthsweep.launch.slurm.sites.site import Site, site_of
from lthsweep.launch.work import work_left
from lthsweep.plan.expand import expand
from lthsweep.plan.run import Plan
from lthsweep.spec import Spec, load_spec
from lthsweep.store import failures
from lthsweep.store.layout import SweepDir

__all__ = ["main", "work"]

EXIT_INCOMPLETE = 3


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
    spec = load_spec(sweep.path)
    plan, site = expand(spec), site_of(spec)
    clock = Clock(submission.minutes, site.grace_seconds)
    marker = _KilledMarker(sweep, name, index, spec.local.checkpoint_seconds)
    end = work(plan, sweep, site, submission.keys(index), clock, marker)
    write_end(sweep, name, index, end)
    print(
        f"{name} element {index}: {len(end.worked)} finished, {len(end.broke) + len(end.failed)} broke or failed"
    )
    if end.failed:
        known = failures.read_failures(sweep)
        done = sum(key in plan.runs for key in sweep.record_keys())
        halt_on_equal_failures(sweep, (known[key] for key in plan.runs if key in known), done)
    if end.stopped == "time" and requeue(_own_id()):
        print("out of time; back in the queue")
        return EXIT_INCOMPLETE
    take_step(plan, sweep, site, own=name)
    left = {node.key for node in work_left(plan, sweep).nodes} & set(submission.keys(index))
    return 1 if end.failed else EXIT_INCOMPLETE if left else 0


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
    pulling = Pulling(plan, sweep, site, share, left, clock)
    surplus = Surplus(plan, sweep, site)

    def note(message: Message) -> None:
        pulling.note(message)
        surplus.note(message)
        on_message(message)

    def should_stop() -> bool:
        surplus.submit()
        return clock()

    hooks = RunHooks(note, should_stop, elsewhere=pulling.find, patience=pulling.patience)
    pool = LocalPool(sweep, slots_here(plan.spec, site)[: len(runs)])
    try:
        summary = coordinate(plan, sweep, replace(left, nodes=runs), pool, hooks=hooks, first=share)
    except BaseException:
        pool.kill()
        raise
    if not summary.stopped:
        surplus.join()
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


def _node() -> str:
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def _own_id() -> str:
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array else os.environ["SLURM_JOB_ID"]


if __name__ == "__main__":
    sys.exit(main())
