"""Resources and settings of one job on a cluster: the site profile merged with the sweep's `[slurm]` table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lthsweep.errors import SpecError
from lthsweep.launch.slurm.sites.profile import (
    PartitionFacts,
    Profile,
    profile_names,
    profile_text,
    read_profile,
)
from lthsweep.launch.slurm.sites.profile_warnings import profile_warnings
from lthsweep.launch.slurm.sites.settings_merge import merge_settings
from lthsweep.spec import Spec
from lthsweep.spec.problems import Origin, Problem, error_of
from lthsweep.spec.text_forms import minutes_of
from lthsweep.wording import plural

__all__ = ["Site", "profile_names", "profile_text", "site_of"]


@dataclass(frozen=True)
class Site:
    """Resources that a job of a sweep requests, and how the sweep uses the cluster.

    Attributes:
        profile: its name or path.
        partition, account, qos, constraint, reservation: in sbatch's syntax.
        exclude: nodes to avoid.
        minutes: the longest walltime a job may request; None for the partition's limit, read live.
        cpus, gpus: per job.
        gpu_form: "gres" (`--gres=gpu[:type]:N`), "gpus-per-node" or "gpus".
        gpu_type: the cluster's name for it.
        memory: per job, in SLURM's format.
        memory_per_cpu: per core, instead of `memory`.
        workers: per job; None for workers_per_gpu per GPU, or one per `threads` cores.
        threads: per worker.
        target_minutes, floor_minutes: target and minimum length of a job.
        grace_seconds: how long before the end of its walltime a job is notified.
        setup: shell lines that run before the command.
        python: interpreter on the compute nodes; None for the interpreter of the process that submits.
        controller_partition: of controller jobs; None for `partition`.
        controller_minutes: interval of controller jobs while some runs could not be submitted.
        controller_memory: of a controller job, in SLURM's format.
        poll_seconds: minimum interval between queries of the queue.
        lag_seconds: an intent is void if its job is not found by name within this time.
        max_elements: the site's own cap on jobs in the queue.
        attempts: consecutive jobs without progress after which a run counts as failed.
        extra: other options of sbatch, by long names without dashes; "" for an option without a value.
        advice: for the user, one line each.
        warnings: contradictions between the job and the profile, one sentence each.
        about: the profile's name, description and date.
    """

    profile: str = "generic"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    reservation: str | None = None
    exclude: tuple[str, ...] = ()
    minutes: int | None = None
    cpus: int = 1
    gpus: int = 0
    gpu_form: str = "gres"
    gpu_type: str | None = None
    memory: str | None = None
    memory_per_cpu: str | None = None
    workers: int | None = None
    workers_per_gpu: int = 1
    threads: int = 1
    target_minutes: float = 30.0
    floor_minutes: float = 10.0
    grace_seconds: int = 120
    setup: tuple[str, ...] = ()
    python: str | None = None
    controller_partition: str | None = None
    controller_minutes: float = 10.0
    controller_memory: str | None = None
    poll_seconds: float = 60.0
    lag_seconds: float = 300.0
    max_elements: int | None = None
    attempts: int = 3
    extra: Mapping[str, str] = field(default_factory=dict)
    advice: str = ""
    warnings: tuple[str, ...] = ()
    about: str = ""

    @property
    def slots(self) -> int:
        """Workers in one job."""
        if self.workers is not None:
            return self.workers
        return self.workers_per_gpu * self.gpus if self.gpus else max(1, self.cpus // self.threads)

    def describe(self) -> list[str]:
        """Return the job's resources, settings and warnings as lines for the user."""
        job = [plural(self.cpus, "core")]
        if self.gpus:
            job.append(plural(self.gpus, f"{self.gpu_type} GPU" if self.gpu_type else "GPU"))
        if self.memory:
            job.append("all memory of a node" if self.memory == "0" else f"{self.memory} of memory")
        elif self.memory_per_cpu:
            job.append(f"{self.memory_per_cpu} of memory per core")
        where = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "reservation": self.reservation,
        }
        limit = "the partition's limit" if self.minutes is None else f"{self.minutes / 60:.4g} hours"
        per = f" of {self.threads} threads" if self.threads > 1 else ""
        return [
            f"site profile {self.about or self.profile}",
            f"a job: {', '.join(job)}, {plural(self.slots, 'worker')}{per}; about {self.target_minutes:g} min, "
            f"at most {limit}",
            "requested: "
            + (", ".join(f"{k} {v}" for k, v in where.items() if v) or "the cluster's defaults"),
            f"controller jobs: partition {self.controller_partition or self.partition or 'default'}; "
            f"at least {self.poll_seconds:g} s between queries of the queue",
            *self.advice.splitlines(),
            *(f"warning: {warning}" for warning in self.warnings),
        ]


def site_of(spec: Spec) -> Site:
    """Return the site of a sweep's file: profile, then the partition's settings, then the file's `[slurm]` table.

    GPUs default to one on a partition that has GPUs by the profile, and to none on another partition of the profile.
    Cores default to the number that the workers need. Without values in the file,
    `target_minutes` shrinks to the file's walltime and `floor_minutes` to the target.

    Raises:
        SpecError: if the profile does not exist, contains errors, or conflicts with the file.
    """
    table, threads = spec.slurm, spec.local.threads
    profile = read_profile(table.profile)
    partition = table.partition or profile.settings.partition
    names = partition.split(",") if partition else []
    facts = [profile.partitions[name] for name in names if name in profile.partitions]
    settings = merge_settings(profile.settings, *facts[:1], table)
    gpus = _gpus(spec, profile, facts)
    workers, per_gpu = settings["workers"], settings["workers_per_gpu"] or 1
    cpus = _cpus(spec, settings, gpus, workers or (per_gpu * gpus if gpus else 1))
    minutes = None if settings["time"] is None else minutes_of(settings["time"])
    target, floor = _lengths(spec, settings, minutes)
    if gpus and settings["gpu_form"] == "gres" and "gres" in settings["options"]:
        raise _misfit(
            "options", 'gres collides with --gres=gpu: set gpu_form = "gpus-per-node"', settings["options"]
        )
    return Site(
        **{name: settings[name] for name in _AS_IT_IS},
        profile=profile.name,
        partition=partition,
        exclude=settings["exclude"] or (),
        minutes=minutes,
        cpus=cpus,
        gpus=gpus,
        gpu_type=settings["gpu_type"] if gpus else None,
        workers_per_gpu=per_gpu,
        threads=threads,
        target_minutes=target,
        floor_minutes=floor,
        setup=settings["setup"] or (),
        max_elements=table.max_elements
        or _least(settings["max_elements"], *(partition.max_jobs for partition in facts)),
        extra={name: "" if value is True else str(value) for name, value in settings["options"].items()},
        advice="\n".join(profile.about.advice),
        about=profile.about.title(profile.name),
        warnings=tuple(profile_warnings(profile, partition, minutes=minutes, cpus=cpus, gpus=gpus)),
    )


_AS_IT_IS = (
    "account",
    "qos",
    "constraint",
    "reservation",
    "gpu_form",
    "memory",
    "memory_per_cpu",
    "workers",
    "grace_seconds",
    "python",
    "controller_partition",
    "controller_minutes",
    "controller_memory",
    "poll_seconds",
    "lag_seconds",
    "attempts",
)

_CUDA = re.compile(r"cuda(?::([0-9]{1,3}))?")


def _gpus(spec: Spec, profile: Profile, facts: list[PartitionFacts]) -> int:
    devices, asked = spec.local.devices, spec.slurm.gpus
    named = () if isinstance(devices, str) else devices
    if devices == "cpu" or (named and set(named) == {"cpu"}):
        if asked:
            raise _misfit(
                "gpus", f"would be idle because local.devices = {devices!r}; change one of the two", asked
            )
        return 0
    usual = (facts[0] if facts else profile.settings).gpus or 0
    least = 1 if spec.slurm.gpu_type is not None else 0
    for device in named:
        if found := _CUDA.fullmatch(device):
            least = max(least, 1 + int(found[1] or 0))
    if asked is not None and asked < least:
        raise _misfit("gpus", f"is too few for local.devices, which needs {least}", asked)
    return max(usual, least) if asked is None else asked


def _cpus(spec: Spec, settings: Mapping[str, Any], gpus: int, workers: int) -> int:
    threads = spec.local.threads
    needed = workers * threads
    if spec.slurm.cpus is None:
        return max(settings["cpus"] or (settings["cpus_per_gpu"] or 0) * gpus, needed)
    if spec.slurm.cpus < needed:
        lower = "slurm.workers_per_gpu" if gpus and settings["workers"] is None else "slurm.workers"
        text = (
            f"is too few for {plural(workers, 'worker')} of {plural(threads, 'thread')} each: "
            f"make it {needed}, or reduce {lower} or local.threads"
        )
        raise _misfit("cpus", text, spec.slurm.cpus)
    return spec.slurm.cpus


def _lengths(spec: Spec, settings: Mapping[str, Any], limit: int | None) -> tuple[float, float]:
    """Return target and minimum, in minutes."""
    target, floor = settings["target_minutes"], settings["floor_minutes"]
    if limit is not None and target > limit:
        if spec.slurm.target_minutes is not None:
            raise _misfit(
                "target_minutes", f"is beyond the profile's longest walltime, {limit} min: set time", target
            )
        target = float(limit)
    if floor > target:
        if spec.slurm.floor_minutes is not None:
            raise _misfit("floor_minutes", f"is beyond the target, {target:g} min: set target_minutes", floor)
        floor = target
    return target, floor


def _least(*numbers: int | None) -> int | None:
    return min((number for number in numbers if number is not None), default=None)


def _misfit(key: str, text: str, found: Any) -> SpecError:
    return error_of([Problem(("slurm", key), text, found)], Origin())
