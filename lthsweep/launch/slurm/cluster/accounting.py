"""Parse the limits of accounting from SLURM's commands. Pure.

The preferred source is `scontrol show assoc_mgr`, the controller's own copy: it is available while the database is
down, and it includes current use. It contains a QOS's limit per user only if some user has, or had, jobs in that QOS.
Missing limits come from `sacctmgr`, which prints limits but not their use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from lthsweep.launch.slurm.cluster.policy import ANY_USER, Association, Count, Policy, Qos

__all__ = ["parse_assoc_mgr", "parse_sacctmgr"]


def parse_assoc_mgr(text: str, uid: int) -> Policy:
    """Parse `scontrol --oneliner show assoc_mgr users=USER flags=assoc,qos`.

    Args:
        text: lines of `Name=value`. Unknown names are skipped; a missing name means no limit.
        uid: the user's. SLURM 22.05 prints the use of a QOS as "0={...}", later versions as "root(0)={...}".
    """
    lines = text.splitlines()
    rows = [_association_of(_fields(line)) for line in lines if line.startswith("ClusterName=")]
    ranks = [_qos_of(line, uid) for line in lines if line.startswith("QOS=")]
    return Policy(tuple(rows), {qos.name: qos for qos in ranks})


def parse_sacctmgr(users: str, qos: str) -> Policy:
    """Parse sacctmgr's tables (-n -P), which contain neither use nor accounts above the user's own row.

    Args:
        users: of `show user USER withassoc format=defaultaccount,account,partition,maxsubmit,maxwall`.
        qos: of `show qos format=name,maxsubmitpu,maxsubmitpa,grpsubmit,maxwall`.
    """
    rows = []
    for line in users.splitlines():
        if line.count("|") == 4:
            default, account, partition, submit, wall = line.split("|")
            rows.append(
                Association(
                    account,
                    ANY_USER,
                    partition,
                    default=account == default,
                    submit=Count(_number(submit)),
                    wall=_minutes(wall),
                )
            )
    found = {}
    for line in qos.splitlines():
        if line.count("|") == 4:
            name, per_user, per_account, group, wall = line.split("|")
            found[name] = Qos(
                name,
                user=Count(_number(per_user)),
                account_limit=_number(per_account),
                group=Count(_number(group)),
                wall=_minutes(wall),
            )
    return Policy(tuple(rows), found)


def _association_of(fields: Mapping[str, str]) -> Association:
    return Association(
        account=fields.get("Account", ""),
        user=_bare(fields.get("UserName", "")),
        partition=fields.get("Partition", ""),
        parent=_bare(fields.get("ParentAccount", "")),
        default=fields.get("DefAssoc") == "Yes",
        submit=_count(fields.get("MaxSubmitJobs", "")),
        group=_count(fields.get("GrpSubmitJobs", "")),
        wall=_number(fields.get("MaxWallPJ", "")),
    )


def _qos_of(line: str, uid: int) -> Qos:
    common, _, limits = line.partition(" Account Limits=")
    of_accounts, _, of_users = limits.partition(" User Limits=")
    accounts = {
        account: _count(_fields(block).get("MaxSubmitJobsPA", "")) for account, block in _blocks(of_accounts)
    }
    users = {
        re.sub(r".*\((\d+)\)$", r"\1", user): _count(_fields(block).get("MaxSubmitJobsPU", ""))
        for user, block in _blocks(of_users)
    }
    fields = _fields(common)
    return Qos(
        name=_bare(fields["QOS"]),
        user=Count(_any_limit(users), users.get(str(uid), Count(None, 0)).used),
        account_limit=_any_limit(accounts),
        account_used={account: count.used or 0 for account, count in accounts.items()},
        group=_count(fields.get("GrpSubmitJobs", "")),
        is_whole=bool(users) and bool(accounts),
        wall=_number(fields.get("MaxWallPJ", "")),
    )


def _blocks(text: str) -> list[tuple[str, str]]:
    """Return the names and contents of "lab={...} other={...}"."""
    return re.findall(r"([^\s{}=]+)={([^{}]*)}", text)


def _any_limit(counts: Mapping[str, Count]) -> int | None:
    """Return the limit, which is the same in all entries."""
    return next((count.limit for count in counts.values()), None)


def _fields(text: str) -> dict[str, str]:
    return dict(re.findall(r"(\S+?)=(\S*)", text))


def _bare(text: str) -> str:
    """Return "root" for "root(0)"."""
    return text.partition("(")[0]


def _count(text: str) -> Count:
    """Parse limit and use: "20(19)", "N(3)", ""."""
    match = re.fullmatch(r"(\d+|N)\((\d+)\)", text)
    return Count(_number(match[1]), int(match[2])) if match else Count()


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _minutes(text: str) -> int | None:
    """Convert a duration such as "1-00:00:00" to minutes."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):\d+", text)
    return None if match is None else 1440 * int(match[1] or 0) + 60 * int(match[2]) + int(match[3])
