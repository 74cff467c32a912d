"""Read the cluster's limits: the largest array, the number of jobs that can be submitted now, the longest walltime.

SLURM accepts a job that is too long for its partition and leaves it in the queue forever (EnforcePartLimits=NO is the
default), and it refuses a whole array for one element too many. So both limits are read before submitting.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lthsweep.errors import ClusterSilentError, RefusedError, nearest
from lthsweep.launch.slurm.cluster.accounting import parse_assoc_mgr, parse_sacctmgr
from lthsweep.launch.slurm.cluster.ask import Answer, ask, this_user
from lthsweep.launch.slurm.cluster.listing import seconds_of
from lthsweep.launch.slurm.cluster.policy import Cap, Policy, caps, wall_minutes
from lthsweep.launch.slurm.cluster.queue import read_queue

if TYPE_CHECKING:
    from lthsweep.launch.slurm.sites.site import Site

__all__ = ["Limits", "Partition", "parse_config", "parse_partitions", "read_limits"]

SECONDS = 60.0
ACCOUNTING_SECONDS = 10.0
"""Deadline of sacctmgr, which blocks while slurmdbd is down. It only fills gaps in the controller's answer."""


@dataclass(frozen=True)
class Partition:
    """A partition, from the controller's configuration.

    Attributes:
        name: of the partition.
        default: jobs without a partition run here.
        minutes: longest walltime; None for any.
        state: "UP", "DOWN" (jobs are accepted, but wait), "DRAIN" or "INACTIVE" (no jobs are accepted).
        preempt_mode: what SLURM does with preempted jobs: "OFF", "REQUEUE", "CANCEL", ...
        grace_seconds: between the signal and the end of a preempted job.
        accounts, all_qos: accounts and QOS that can use it; None for all.
        qos: the partition's QOS, whose limits override the job's; None without.
        cores_per_node: maximum number of cores per job on a node; None for all.
    """

    name: str
    default: bool
    minutes: int | None
    state: str
    preempt_mode: str
    grace_seconds: int
    accounts: tuple[str, ...] | None
    all_qos: tuple[str, ...] | None
    qos: str | None
    cores_per_node: int | None


@dataclass(frozen=True)
class Limits:
    """Limits on submissions at this moment.

    Attributes:
        max_array: maximum number of elements in one array; 0 if the cluster has no arrays. SLURM limits the index, so
            arrays are always 0 to n - 1.
        capacity: elements that can still be submitted; None if there is no limit, or it is unknown.
        minutes: the longest walltime a job may request; None for any.
        named: lines for the user, the most restrictive limit first: "MaxSubmitJobsPerUser of QOS normal 6, 2 in use".
        version: of SLURM, "22.05.8".
        partitions: in which the site's jobs run.
    """

    max_array: int
    capacity: int | None
    minutes: int | None
    named: tuple[str, ...] = ()
    version: str = ""
    partitions: tuple[Partition, ...] = ()


def read_limits(site: Site) -> Limits:
    """Read the limits from the controller; from the database only if the controller omits some.

    Args:
        site: its partitions, account and QOS.

    Raises:
        ClusterSilentError: if the controller does not answer.
        RefusedError: if the site names a partition that does not exist.
    """
    config = parse_config(_scontrol("show", "config").out)
    known = parse_partitions(_scontrol("--all", "--oneliner", "show", "partition").out)
    if "MaxArraySize" not in config or not known:
        raise ClusterSilentError("scontrol printed no configuration or no partitions; try again later")
    chosen = _chosen(known, site.partition, "slurm.partition")
    _chosen(known, site.controller_partition, "slurm.controller_partition")
    found: list[Cap] = []
    walls = [partition.minutes for partition in chosen]
    if re.search(r"limits|safe|all", config.get("AccountingStorageEnforce", "")):
        orders = {partition.name: _order(partition, site.qos) for partition in chosen}
        policy = _policy({name for order in orders.values() for name in order})
        for name, order in orders.items():
            found += caps(policy, this_user(), site.account, name, order)
            walls.append(wall_minutes(policy, this_user(), site.account, name, order))
    found = _with_use(list(dict.fromkeys(found)))
    capacities = [cap.capacity for cap in found if cap.capacity is not None]
    jobs = _int(config.get("MaxJobCount", ""))
    array = _int(config["MaxArraySize"]) or 0
    return Limits(
        max_array=min(array, jobs or array),
        capacity=min(capacities, default=None),
        minutes=min((wall for wall in walls if wall is not None), default=None),
        named=(*map(str, found), *_notes(chosen, site)),
        version=config.get("SLURM_VERSION", ""),
        partitions=tuple(chosen),
    )


def parse_config(text: str) -> dict[str, str]:
    """Parse `scontrol show config`: lines of "Name   = value"."""
    return {
        name.strip(): value.strip()
        for name, equals, value in (line.partition("=") for line in text.splitlines())
        if equals and re.fullmatch(r"\w+\s*", name)
    }


def parse_partitions(text: str) -> dict[str, Partition]:
    """Parse `scontrol --oneliner show partition`: one line of "Name=value" per partition."""
    found = {}
    for line in text.splitlines():
        fields = dict(re.findall(r"(\S+?)=(\S*)", line))
        name = fields.get("PartitionName", "")
        if name:
            seconds = seconds_of(fields.get("MaxTime", ""))
            found[name] = Partition(
                name=name,
                default=fields.get("Default") == "YES",
                minutes=None if seconds is None else seconds // 60,
                state=fields.get("State", ""),
                preempt_mode=fields.get("PreemptMode", ""),
                grace_seconds=_int(fields.get("GraceTime", "")) or 0,
                accounts=_names(fields.get("AllowAccounts", "")),
                all_qos=_names(fields.get("AllowQos", "")),
                qos=None if fields.get("QoS", "N/A") in ("N/A", "(null)", "") else fields["QoS"],
                cores_per_node=_int(fields.get("MaxCPUsPerNode", "")),
            )
    return found


def _chosen(known: Mapping[str, Partition], names: str | None, option: str) -> list[Partition]:
    """Return the partitions that a site's option names, or the default partition for None."""
    if names is None:
        return [partition for partition in known.values() if partition.default]
    for name in names.split(","):
        if name not in known:
            hint = nearest(name, known)
            raise RefusedError(
                f"this cluster has no partition {name!r}{f'; did you mean {hint!r}?' if hint else ';'} "
                f"known: {', '.join(sorted(known))}; change {option}"
            )
    return [known[name] for name in names.split(",")]


def _order(partition: Partition, qos: str | None) -> list[str]:
    """Return the QOS that apply to a job, in order of precedence."""
    return [name for name in (partition.qos, qos or "normal") if name is not None]


def _policy(wanted: set[str]) -> Policy:
    """Return the limits from the controller, from the database where it omits some, or no limits."""
    shown = _scontrol(
        "--oneliner", "show", "assoc_mgr", f"users={this_user()}", "flags=assoc,qos", strict=False
    )
    policy = parse_assoc_mgr(shown.out, os.getuid()) if shown.code == 0 else Policy((), {})
    if policy.associations and all(qos.is_whole for name, qos in policy.qos.items() if name in wanted):
        return policy
    table = _sacctmgr("qos", "format=name,maxsubmitpu,maxsubmitpa,grpsubmit,maxwall")
    if policy.associations:
        return policy.completed(parse_sacctmgr("", table))
    columns = "format=defaultaccount,account,partition,maxsubmit,maxwall"
    return parse_sacctmgr(_sacctmgr("user", this_user(), "withassoc", columns), table)


def _with_use(found: Sequence[Cap]) -> list[Cap]:
    """Fill in unknown use with the length of the user's own queue, which is a lower limit."""
    if all(cap.used is not None for cap in found):
        return list(found)
    own = len(read_queue())
    return [cap if cap.used is not None else replace(cap, used=own) for cap in found]


def _notes(chosen: Sequence[Partition], site: Site) -> list[str]:
    """Return conditions other than numeric limits that keep jobs from running or from being accepted."""
    notes = []
    for partition in chosen:
        if partition.state not in ("UP", ""):
            notes.append(f"partition {partition.name} is {partition.state}")
        if partition.accounts is not None and site.account and site.account not in partition.accounts:
            notes.append(
                f"partition {partition.name} takes the accounts {', '.join(partition.accounts)} only"
            )
        if partition.all_qos is not None and site.qos and site.qos not in partition.all_qos:
            notes.append(f"partition {partition.name} takes the QOS {', '.join(partition.all_qos)} only")
        if partition.cores_per_node is not None and site.cpus > partition.cores_per_node:
            notes.append(
                f"partition {partition.name} gives {partition.cores_per_node} cores per node, "
                f"fewer than slurm.cpus = {site.cpus}: a job would wait forever"
            )
    return notes


def _scontrol(*arguments: str, strict: bool = True) -> Answer:
    answer = ask(["scontrol", *arguments], seconds=SECONDS)
    if answer.code and strict:
        raise ClusterSilentError(f"scontrol {' '.join(arguments)} failed: {answer.words or 'no message'}")
    return answer


def _sacctmgr(*arguments: str) -> str:
    """Return a table of the database, or "" if it does not answer in time; sbatch then reports exceeded limits."""
    try:
        answer = ask(
            ["sacctmgr", "--noheader", "--parsable2", "--readonly", "show", *arguments],
            seconds=ACCOUNTING_SECONDS,
        )
    except ClusterSilentError:
        return ""
    return "" if answer.code else answer.out


def _names(text: str) -> tuple[str, ...] | None:
    return None if text in ("ALL", "", "(null)") else tuple(text.split(","))


def _int(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
