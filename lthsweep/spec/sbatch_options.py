"""Which options of sbatch a user may add, and why the others are refused.

Options that lthsweep sets itself, or that break what it counts on, are refused with the reason. So is a name that is
nearly one that sbatch knows. Other names pass: SLURM gets new options with every release, and says itself what it does
not know.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from lthsweep.spec.slurm_forms import PLAIN_TEXT, is_plain

__all__ = ["KNOWN", "OWN_KEYS", "TAKEN", "option_problem"]

OWN_KEYS: Mapping[str, str] = {
    "account": "account",
    "constraint": "constraint",
    "cpus-per-gpu": "cpus_per_gpu",
    "cpus-per-task": "cpus",
    "exclude": "exclude",
    "gpus": "gpus",
    "gpus-per-node": "gpus",
    "gpus-per-socket": "gpus",
    "gpus-per-task": "gpus",
    "mem": "memory",
    "mem-per-cpu": "memory_per_cpu",
    "mem-per-gpu": "memory",
    "partition": "partition",
    "qos": "qos",
    "reservation": "reservation",
    "time": "time",
}
"""Option of sbatch → the key of `[slurm]` that sets it."""

_LOGS = "what jobs print is kept in the sweep's directory; see `lthsweep logs`"
_ONE_TASK = "a job is one task on one node, and starts its own workers"
_ANSWER = "lthsweep reads what sbatch answers"
_RESTART = "a job of a sweep may always be queued again; it goes on from its checkpoints"
_ENVIRONMENT = "jobs get the environment of the command that submits; add variables in slurm.setup"
_ONE_CLUSTER = "lthsweep asks the queue of one cluster"

TAKEN: Mapping[str, str] = {
    "array": "a batch of jobs is an array, and lthsweep numbers it",
    "begin": "lthsweep times its follow-up jobs with it",
    "chdir": "jobs work in the sweep's directory, wherever they start",
    "cluster-constraint": _ONE_CLUSTER,
    "clusters": _ONE_CLUSTER,
    "dependency": "tickets wait for their dense run with it",
    "error": _LOGS,
    "export": _ENVIRONMENT,
    "export-file": _ENVIRONMENT,
    "get-user-env": _ENVIRONMENT,
    "gid": "jobs are submitted as who you are",
    "help": _ANSWER,
    "hold": "a held follow-up would never see to the sweep; use `scontrol hold` on jobs in the queue",
    "input": "jobs read nothing from standard input",
    "job-name": "lthsweep knows its jobs by their names",
    "kill-on-invalid-dep": "lthsweep decides what becomes of runs whose parent failed",
    "no-requeue": _RESTART,
    "nodes": _ONE_TASK,
    "ntasks": _ONE_TASK,
    "ntasks-per-core": _ONE_TASK,
    "ntasks-per-gpu": _ONE_TASK,
    "ntasks-per-node": _ONE_TASK,
    "ntasks-per-socket": _ONE_TASK,
    "open-mode": _LOGS,
    "output": _LOGS,
    "parsable": _ANSWER,
    "quiet": _ANSWER,
    "requeue": _RESTART,
    "signal": "lthsweep has itself warned before the end of a job's time; see slurm.grace_seconds",
    "test-only": "`lthsweep plan` says what would be submitted",
    "time-min": "lthsweep counts on the walltime that it asked for; see slurm.time",
    "uid": "jobs are submitted as who you are",
    "usage": _ANSWER,
    "verbose": _ANSWER,
    "version": _ANSWER,
    "wait": "`lthsweep run --wait` waits for a sweep",
    "wrap": "lthsweep says what a job runs; put lines before it into slurm.setup",
}
"""Option of sbatch → why it cannot be set."""

KNOWN = frozenset(
    re.findall(
        r"\S+",
        """
    acctg-freq batch bb bbf comment container container-id contiguous core-spec cores-per-socket cpu-freq deadline
    delay-boot distribution exclusive external-launcher extra extra-node-info gpu-bind gpu-freq gres gres-flags hint
    ignore-pbs licenses mail-type mail-user mcs-label mem-bind mincpus network nice no-kill nodefile nodelist
    oom-kill-step overcommit oversubscribe power prefer priority profile propagate reboot resv-ports segment
    sockets-per-node spread-job stepmgr switches thread-spec threads-per-core tmp tres-bind tres-per-task use-min-nodes
    wait-all-nodes wckey x11
    """,
    )
)
"""Options of sbatch (22.05 to 25.05) that may be set."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_GPU = re.compile(r"(^|[,/])gpu\b")
_NEARLY = 0.8  # "mail-usr" is 0.94 like "mail-user", and no two options of sbatch mean each other


def option_problem(name: str, value: Any) -> str | None:
    """What is wrong with an option of sbatch, or None.

    Args:
        name: as it is written in `slurm.options`.
        value: text, a whole number, true or false.
    """
    if name in OWN_KEYS:
        return f"has a key of its own: write slurm.{OWN_KEYS[name]}"
    if name in TAKEN:
        return f"cannot be set: {TAKEN[name]}"
    if not _NAME.fullmatch(name):
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        hint = f"; did you mean `{plain}`?" if plain in {*KNOWN, *OWN_KEYS, *TAKEN} else ""
        return f"is no option of sbatch{hint} write its long name without dashes in front, as in mail-user"
    if name not in KNOWN:
        near = difflib.get_close_matches(name, [*KNOWN, *OWN_KEYS, *TAKEN], n=1, cutoff=_NEARLY)
        if near:
            return f"is no option of sbatch; did you mean `{near[0]}`?"
    if isinstance(value, bool):
        return None
    if not isinstance(value, int | str):
        return "must be text, a whole number, true or false"
    if not is_plain(str(value)):
        return f"must be text {PLAIN_TEXT}, without spaces, quotes, $ or a dash in front"
    if name == "gres" and _GPU.search(str(value)):
        return "asks for GPUs: write slurm.gpus and slurm.gpu_type"
    return None
