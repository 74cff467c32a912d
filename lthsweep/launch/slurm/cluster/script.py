"""The batch script of a job: what is asked of SLURM, a breadcrumb, the site's own lines, the command.

A job that trains is one task of srun. SLURM sends its notices (USR2 before the time limit, TERM when a job has to make
room) to the tasks of srun; the batch shell, and what it started itself, hears of them when its time is over. A
follow-up job is light: one core, no GPU, no srun, since a command that submits jobs is better not a task of one. If it
fails it is started again, since nobody else may be left to take its step.

The breadcrumb comes before anything that can fail: one line per start in `<index>.node`, so that a node on which not
even Python starts is known by name.
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
        name: of the job; no other job of this user has it.
        command: what each element runs, program and arguments. Elements tell themselves apart by SLURM_ARRAY_TASK_ID.
        folder: of the script, its logs and breadcrumbs; readable by its owner alone.
        minutes: walltime.
        elements: of the array, numbered from 0; 0 for a job of its own.
        dependency: as sbatch takes it, "afterok:12:13"; what can never be fulfilled takes the job out of the queue.
        begin: as sbatch takes it, "now+600"; None for now.
        exclude: nodes that are not to be used, beside those of the site.
        light: a follow-up.
        at_a_time: how many elements may run at a time; None for all.
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
    at_a_time: int | None = None


def text_of(job: Job, site: Site) -> str:
    """The script that would be submitted. It is the same on any machine, with SLURM or without.

    Raises:
        SpecError: if a value could mean more to sbatch, or to a shell, than itself.
        LaunchError: if submitit is not installed.
    """
    folder = str(job.folder.absolute())
    if re.search(r"[\x00-\x1f\x7f\\\"]", folder):
        raise SpecError(
            f"{folder!r} has a backslash, a double quote or a control character in its name, with which sbatch "
            f"cannot name log files; rename it"
        )
    if any(re.search(r"[\x00\r\n]", part) for part in (*job.command, *site.setup)):
        raise SpecError("a line break in a command, or in slurm.setup, would be a line of the batch script")
    options = _common(job, site) | (_light(job, site) if job.light else _full(job, site))
    options = {name: value for name, value in options.items() if value is not None}
    for name, value in options.items():
        _check(name, value)
    options["output"] = f"{folder.replace('%', '%%')}/{'%A_%a' if job.elements else '%j'}_0_log.out"
    own = {name: options.pop(name) for name in _OF_SUBMITIT if name in options}
    return executor_of(job).text(
        _command_line(job, site),
        setup=[_crumb(folder), *([_again(alone=not _excluded(job, site))] if job.light else []), *site.setup],
        additional_parameters={name.replace("_", "-"): value for name, value in options.items()},
        **own,
    )


def executor_of(job: Job) -> ScriptExecutor:
    """The part of submitit in it.

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
"""Parameters that submitit knows by name; others reach the script as they are."""

_LIGHT_EXTRAS = frozenset({"comment", "mail-type", "mail-user", "nice", "wckey"})
"""Options of the file that make sense for a job that trains nothing."""


def _common(job: Job, site: Site) -> dict[str, Any]:
    array = None
    if job.elements:
        array = f"0-{job.elements - 1}" + ("" if job.at_a_time is None else f"%{job.at_a_time}")
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
    kind = f"{site.gpu_type}:" if site.gpu_type else ""
    gres = f"gpu:{kind}{site.gpus}" if site.gpus and site.gpu_form == "gres" else None
    return {
        **{name: value or True for name, value in site.extra.items()},
        "partition": site.partition,
        "qos": site.qos,
        "constraint": site.constraint,
        "reservation": site.reservation,
        "exclude": _excluded(job, site),
        "cpus_per_task": site.cpus,
        "gres": gres or site.extra.get("gres"),
        "gpus-per-node": f"{kind}{site.gpus}" if site.gpus and gres is None else None,
        "mem": site.memory,
        "signal_delay_s": min(site.grace_seconds, 15 * job.minutes),  # not before it has begun to work
    }


def _light(job: Job, site: Site) -> dict[str, Any]:
    """QOS and reservation hold for the partition they were named for."""
    here = site.tick_partition in (None, site.partition)
    return {
        **{name: value or True for name, value in site.extra.items() if name in _LIGHT_EXTRAS},
        "partition": site.tick_partition or site.partition,
        "qos": site.qos if here else None,
        "reservation": site.reservation if here else None,
        "exclude": _excluded(job, site),
        "cpus_per_task": 1,
        "mem": site.tick_memory,
    }


def _excluded(job: Job, site: Site) -> str | None:
    return ",".join(dict.fromkeys((*site.exclude, *job.exclude))) or None


def _command_line(job: Job, site: Site) -> str:
    """`exec`, so that no shell stands between SLURM's signals and what trains; a follow-up has a shell that looks on.

    A step of srun does not inherit the number of cores since SLURM 22.05; it has to be said again.
    """
    command = shlex.join(job.command)
    return command if job.light else f"exec srun --mpi=none --ntasks=1 --cpus-per-task={site.cpus} {command}"


def _crumb(folder: str) -> str:
    """Plain sh: node, raw job id, restarts so far, seconds since the epoch."""
    words = '"${SLURMD_NODENAME:-$(hostname)} $SLURM_JOB_ID ${SLURM_RESTART_COUNT:-0} $(date +%s)"'
    return f'(umask 077; echo {words} >> {shlex.quote(folder)}/"${{SLURM_ARRAY_TASK_ID:-0}}.node")'


def _again(alone: bool) -> str:
    """A follow-up that fails is started again, twice at most, on another node if there is one.

    Nothing else is in the queue any more that could take its step: where a node fails every job, it is the one that is
    free for the follow-up as well. One that is canceled (TERM) stays canceled.

    Args:
        alone: the job excludes no nodes yet; else a list would have to be added to, and what is bad is known.
    """
    requeue = 'scontrol requeue "$SLURM_JOB_ID"'
    others = '[ "$(sinfo --noheader --Node --format=%N --partition="$SLURM_JOB_PARTITION" | sort -u | wc -l)" -gt 1 ]'
    avoid = 'scontrol update JobId="$SLURM_JOB_ID" ExcNodeList="$SLURMD_NODENAME"'
    again = f"{requeue} && {others} && {avoid}" if alone else requeue
    few = '[ "${SLURM_RESTART_COUNT:-0}" -lt 2 ]'
    return f"trap 'trap - EXIT; exit 143' TERM; trap '[ $? -eq 0 ] || {{ trap \"\" TERM; {few} && {again}; }}' EXIT"


_PLAIN = r"[A-Za-z0-9._:,=@%+/][A-Za-z0-9._:,=@%+/-]*"
_ALLOWED: Mapping[str, str] = {
    "job_name": r"[A-Za-z0-9_][A-Za-z0-9._-]*",  # squeue takes a comma for the next name
    "constraint": r"[A-Za-z0-9._(\[][A-Za-z0-9._:,=@%+/&|!*()\[\]-]*",
    "exclude": r"[A-Za-z0-9][A-Za-z0-9._,\[\]-]*",
}


def _check(name: str, value: Any) -> None:
    if isinstance(value, bool | int):
        return
    if not re.fullmatch(_ALLOWED.get(name, _PLAIN), str(value)):
        option = name.replace("_", "-")
        raise SpecError(
            f"--{option} = {value!r}: an option of sbatch is made of letters, digits and ._:,=@%+/-, without spaces, "
            f"quotes, line breaks or a dash in front; correct it in [slurm]"
        )
