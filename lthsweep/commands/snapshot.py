"""The state of a sweep at one moment: what `status` prints as text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lthsweep.commands.sources import OpenedSweep
from lthsweep.launch.disk_status import DiskStatus, read_disk_status
from lthsweep.launch.eta import Eta, estimate_eta
from lthsweep.launch.local import workers_of
from lthsweep.launch.slurm.queue_status import QueueStatus, read_queue_status
from lthsweep.launch.slurm.sites.site import site_of
from lthsweep.launch.sweep_status import SweepStatus, sweep_status
from lthsweep.launch.work import seconds_per_epoch
from lthsweep.plan.estimate import seconds_spared
from lthsweep.reduce.directory_pool import DirectoryPool, read_pool
from lthsweep.reduce.usage import TimeUsed, time_used

__all__ = ["Snapshot", "Usage", "take_snapshot"]


@dataclass(frozen=True)
class Usage:
    """Hours that the finished runs used, and hours that sharing saves.

    Attributes:
        core_hours, gpu_hours: of the finished runs.
        saved: hours in `unit` that the whole plan needs less than a naive nested loop; None if not known yet.
        unit: "core-hours" or "GPU-hours", whichever the runs used more seconds of.
        exact: whether the time of every finished run was read.
    """

    core_hours: float
    gpu_hours: float
    saved: float | None
    unit: str
    exact: bool


@dataclass(frozen=True)
class Snapshot:
    """The state of a sweep at one moment.

    Attributes:
        opened: the sweep.
        status: the state of every run.
        on_disk: the files that the states follow from.
        eta: the estimated time left, None if not known.
        usage: hours used and saved.
        apart: records that the numbers of the table leave out.
    """

    opened: OpenedSweep
    status: SweepStatus
    on_disk: DiskStatus
    eta: Eta | None
    usage: Usage
    apart: DirectoryPool


def take_snapshot(opened: OpenedSweep, before: QueueStatus | None = None) -> Snapshot:
    """Read the state of a sweep; writes nothing.

    Args:
        opened: the sweep.
        before: the jobs of an earlier snapshot, which spare SLURM a question.
    """
    plan, sweep = opened.plan, opened.sweep
    on_disk = read_disk_status(plan, sweep)
    jobs = (
        QueueStatus()
        if on_disk.is_complete
        else read_queue_status(sweep, lambda: site_of(opened.spec), before)
    )
    status = sweep_status(plan, on_disk, jobs)
    epoch_seconds = seconds_per_epoch(plan, sweep)
    used = time_used(sweep, on_disk.done)
    return Snapshot(
        opened=opened,
        status=status,
        on_disk=on_disk,
        eta=estimate_eta(plan, status, epoch_seconds, workers_of(opened.spec)),
        usage=_usage(opened, used, jobs.workers_per_gpu, epoch_seconds),
        apart=read_pool(plan, sweep),
    )


def _usage(
    opened: OpenedSweep, used: TimeUsed, workers_per_gpu: int, epoch_seconds: Mapping[str, float]
) -> Usage:
    """Convert seconds of workers to hours of the hardware they occupy: `local.threads` cores, or a share of a GPU."""
    threads, sharing = opened.spec.local.threads, max(1, workers_per_gpu)
    on_gpu = used.gpu_seconds > used.cpu_seconds
    saved = seconds_spared(opened.plan, epoch_seconds)
    return Usage(
        core_hours=used.cpu_seconds * threads / 3600,
        gpu_hours=used.gpu_seconds / sharing / 3600,
        saved=None if saved is None else saved * (1 / sharing if on_gpu else threads) / 3600,
        unit="GPU-hours" if on_gpu else "core-hours",
        exact=used.exact,
    )
