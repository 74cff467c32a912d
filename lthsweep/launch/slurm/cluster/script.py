"""The batch script of a job: sbatch options, a start record, the site's setup lines, the command.

A worker job is one task of srun. SLURM sends its signals (USR2 before the time limit, TERM at preemption) to the
tasks of srun; the batch shell and its other children receive them only when the job's time is over. A controller job is
light: one core, no GPU, no srun, because a command that submits jobs should not be a task of srun. A failed controller
job is restarted, because it may be the only process left to continue the sweep.

The start record is written before any command that can fail: one line per start in `<index>.node`, so that a node on
which even Python fails to start can be identified.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lthsweep.errors import LaunchError, SpecError

if TYPE_CHECKING:
    from lthsweep.launch.slurm.cluster.executor import ScriptExecutor
    from lthsweep.launch.slurm.sites.site import Site

__all__ = ["Job", "executor_of", "text_of"]


@dataclass(frozen=True)
class Job:
    """One call of sbatch.

    Attributes:
        name: of the job; unique among this user's jobs.
        command: program and arguments of every element. Elements differ by SLURM_ARRAY_TASK_ID.
        folder: of the script, its logs and start records; readable only by its owner.
        minutes: walltime.
        elements: of the array, numbered from 0; 0 for a job without an array.
        dependency: in sbatch's syntax, "afterany:12:13"; SLURM cancels jobs whose dependency cannot be fulfilled.
        begin: in sbatch's syntax, "now+600"; None for now.
        exclude: nodes to avoid, in addition to the site's.
        light: a controller job.
    """

    name: str
    command: tuple[str, ...]
    folder: Path
    minutes: int
    elements: int = 0
    dependency: str | None = None
    begin: str | None = None
    exclude: tuple[str, ...] = ()
    light: bool = False


def text_of(job: Job, site: Site) -> str:
    """Return the batch script of a job. It is the same on all machines, with or without SLURM.

    Raises:
        SpecError: if sbatch or a shell could interpret a value as something else.
        LaunchError: if submitit is not installed.
    """
    folder = str(job.folder.absolute())
    if re.search(r"[\x00-\x1f\x7f\\\"]", folder):
        raise SpecError(
            f"{folder!r} has a backslash, a double quote or a control character in its name, which sbatch does not "
            f"accept in names of log files; rename it"
        )
    if any(re.search(r"[\x00\r\n]", part) for part in (*job.command, *site.setup)):
        raise SpecError("a command or slurm.setup contains a line break; use one line per entry")
    options = _common(job, site) | (_light(job, site) if job.light else _full(job, site))
    options = {name: value for name, value in options.items() if value is not None}
    for name, value in options.items():
        _check(name, value)
    options["output"] = f"{folder.replace('%', '%%')}/{'%A_%a' if job.elements else '%j'}_0_log.out"
    own = {name: options.pop(name) for name in _OF_SUBMITIT if name in options}
    return executor_of(job).text(
        _command_line(job, site),
        setup=[
            _start_record(folder),
            *([_restart_line(alone=not _excluded(job, site))] if job.light else []),
            *site.setup,
        ],
        additional_parameters={name.replace("_", "-"): value for name, value in options.items()},
        **own,
    )


def executor_of(job: Job) -> ScriptExecutor:
    """Return submitit's executor for a job.

    Raises:
        LaunchError: if submitit is not installed.
    """
    try:
        from lthsweep.launch.slurm.cluster.executor import ScriptExecutor
    except ImportError as error:
        raise LaunchError(
            f"jobs are submitted with submitit, which cannot be imported ({error}): pip install 'lthsweep[slurm]'"
        ) from error
    return ScriptExecutor(job.folder)


_OF_SUBMITIT = (
    *("job_name", "partition", "time", "nodes", "ntasks_per_node", "cpus_per_task", "qos", "mem"),
    *("signal_delay_s", "constraint", "exclude", "account", "gres", "dependency"),
)
"""Parameters that submitit knows by name; others are written to the script unchanged."""

_OF_SIZE = re.compile(
    r"cpu|core|gpu|gres|tres|mem|socket|thread|exclusive|switches|tmp|spread|oversubscribe|share"
)
"""Options of the file about the size or the placement of worker jobs."""

CONTROLLER_MEMORY = "1G"
"""Of a controller job where worker jobs name their memory. Merging ten thousand records takes 350 MB."""


def _common(job: Job, site: Site) -> dict[str, Any]:
    array = None
    if job.elements:
        array = f"0-{job.elements - 1}"
    return {
        "job_name": job.name,
        "time": job.minutes,
        "nodes": 1,
        "ntasks_per_node": 1,
        "account": site.account,
        "array": array,
        "dependency": job.dependency,
        "kill-on-invalid-dep": "yes",
        "begin": job.begin,
        "requeue": True,
    }


def _full(job: Job, site: Site) -> dict[str, Any]:
    gpus = f"{site.gpu_type}:{site.gpus}" if site.gpu_type else str(site.gpus)
    gres = f"gpu:{gpus}" if site.gpus and site.gpu_form == "gres" else site.extra.get("gres")
    return {
        **{name: value or True for name, value in site.extra.items()},
        "partition": site.partition,
        "qos": site.qos,
        "constraint": site.constraint,
        "reservation": site.reservation,
        "exclude": _excluded(job, site),
        "cpus_per_task": site.cpus,
        "gres": gres,
        **({site.gpu_form: gpus} if site.gpus and site.gpu_form != "gres" else {}),
        "mem": site.memory,
        "mem-per-cpu": site.memory_per_cpu,
        "signal_delay_s": min(site.grace_seconds, 15 * job.minutes),  # not before the job has begun to train
    }


def _light(job: Job, site: Site) -> dict[str, Any]:
    """Return the options of a controller job.

    It carries every option of the file, because a site can demand them of every job, except those about the size of
    worker jobs. QOS, reservation and constraint apply only to the partition of worker jobs.
    """
    here = site.controller_partition in (None, site.partition)
    per_core = site.memory_per_cpu is not None
    memory = site.controller_memory or site.memory_per_cpu or (CONTROLLER_MEMORY if site.memory else None)
    return {
        **{name: value or True for name, value in site.extra.items() if not _OF_SIZE.search(name)},
        "partition": site.controller_partition or site.partition,
        "qos": site.qos if here else None,
        "reservation": site.reservation if here else None,
        "constraint": site.constraint if here else None,
        "exclude": _excluded(job, site),
        "cpus_per_task": 1,
        "mem-per-cpu" if per_core else "mem": memory,
    }


def _excluded(job: Job, site: Site) -> str | None:
    return ",".join(dict.fromkeys((*site.exclude, *job.exclude))) or None


def _command_line(job: Job, site: Site) -> str:
    """Return the command line of a job.

    `exec`, so that signals of SLURM reach the training process and not a shell; the shell of a controller job stays,
    because it restarts the job after a failure. Since SLURM 22.05 srun does not inherit the number of cores, so it is
    repeated.
    """
    command = shlex.join(job.command)
    return command if job.light else f"exec srun --mpi=none --ntasks=1 --cpus-per-task={site.cpus} {command}"


def _start_record(folder: str) -> str:
    """Return a shell line that records node, raw job id, restarts so far, and seconds since the epoch."""
    words = '"${SLURMD_NODENAME:-$(hostname)} $SLURM_JOB_ID ${SLURM_RESTART_COUNT:-0} $(date +%s)"'
    return f'(umask 077; echo {words} >> {shlex.quote(folder)}/"${{SLURM_ARRAY_TASK_ID:-0}}.node")'


def _restart_line(alone: bool) -> str:
    """Return a shell line that restarts a failed controller job, at most twice, on another node if there is one.

    The queue contains no other job that could continue the sweep. A node that fails every job is free more often than
    others, so the controller job would start there again. A canceled controller job (TERM) is not restarted.

    Args:
        alone: the job excludes no nodes yet; otherwise the bad nodes are known and the list cannot be extended here.
    """
    requeue = 'scontrol requeue "$SLURM_JOB_ID"'
    others = '[ "$(sinfo --noheader --Node --format=%N --partition="$SLURM_JOB_PARTITION" | sort -u | wc -l)" -gt 1 ]'
    avoid = 'scontrol update JobId="$SLURM_JOB_ID" ExcNodeList="$SLURMD_NODENAME"'
    again = f"{requeue} && {others} && {avoid}" if alone else requeue
    few = '[ "${SLURM_RESTART_COUNT:-0}" -lt 2 ]'
    return f"trap 'trap - EXIT; exit 143' TERM; trap '[ $? -eq 0 ] || {{ trap \"\" TERM; {few} && {again}; }}' EXIT"


_PLAIN = r"[A-Za-z0-9._:,=@%+/][A-Za-z0-9._:,=@%+/-]*"
_ALLOWED: Mapping[str, str] = {
    "job_name": r"[A-Za-z0-9_][A-Za-z0-9._-]*",  # squeue interprets a comma as a separator of names
    "constraint": r"[A-Za-z0-9._(\[][A-Za-z0-9._:,=@%+/&|!*()\[\]-]*",
    "exclude": r"[A-Za-z0-9][A-Za-z0-9._,\[\]-]*",
}


def _check(name: str, value: Any) -> None:
    if isinstance(value, bool | int):
        return
    if not re.fullmatch(_ALLOWED.get(name, _PLAIN), str(value)):
        option = name.replace("_", "-")
        raise SpecError(
            f"--{option} = {value!r}: use letters, digits and ._:,=@%+/- in options of sbatch, without spaces, "
            f"quotes, line breaks or a dash in front; correct it in [slurm]"
        )
