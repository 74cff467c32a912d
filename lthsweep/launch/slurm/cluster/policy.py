"""Limits on a user's jobs by accounting: associations, QOS, and how much of each limit is in use. Pure.

The order is SLURM's (acct_policy.c, confirmed by measurement): the QOS of the partition comes first; the job's QOS
applies to limits that the first one does not set; the association (user, account, partition) applies if neither QOS has
a limit per user or per account; group limits are checked for the user's row, the account and all its parent accounts,
unless a QOS sets such a limit. Each element of an array counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

__all__ = [
    "ANY_USER",
    "Association",
    "Cap",
    "Count",
    "Policy",
    "Qos",
    "caps",
    "wall_minutes",
]


class Count(NamedTuple):
    """A limit (None: no limit) and how much of it is in use (None: unknown)."""

    limit: int | None = None
    used: int | None = None


NONE = Count()


@dataclass(frozen=True)
class Cap:
    """A limit that applies to a job: its name for the user, the number, and how much is in use (None: unknown)."""

    label: str
    limit: int
    used: int | None

    @property
    def capacity(self) -> int | None:
        """Number of elements that can still be submitted under this limit."""
        return None if self.used is None else max(0, self.limit - self.used)

    def __str__(self) -> str:
        used = "an unknown number" if self.used is None else self.used
        return f"{self.label} {self.limit}, {used} in use"


@dataclass(frozen=True)
class Association:
    """The row of a user or an account in accounting.

    Attributes:
        account, user, partition: identify the row; "" for all users or all partitions.
        parent: the parent account; "" for none, and in a user's row.
        default: the row applies if a job names no account.
        submit: MaxSubmitJobs.
        group: GrpSubmitJobs.
        wall: MaxWall in minutes.
    """

    account: str
    user: str
    partition: str = ""
    parent: str = ""
    default: bool = False
    submit: Count = NONE
    group: Count = NONE
    wall: int | None = None


@dataclass(frozen=True)
class Qos:
    """A quality of service.

    Attributes:
        name: of the QOS.
        user: MaxSubmitJobsPerUser, with the use of the user of this process.
        account: MaxSubmitJobsPerAccount: its limit, and the use of each account.
        group: GrpSubmitJobs.
        is_whole: False if SLURM omitted the limits per user or per account because the QOS has no jobs.
        wall: MaxWall in minutes.
    """

    name: str
    user: Count = NONE
    account_limit: int | None = None
    account_used: Mapping[str, int] = field(default_factory=dict)
    group: Count = NONE
    is_whole: bool = True
    wall: int | None = None


@dataclass(frozen=True)
class Policy:
    """All limits of one user in accounting."""

    associations: tuple[Association, ...]
    qos: Mapping[str, Qos]

    def completed(self, other: Policy) -> Policy:
        """Return a policy with limits from `other` for QOS without jobs, whose limits this one does not contain."""
        found = dict(self.qos)
        for name in self.qos.keys() & other.qos.keys():
            mine, theirs = self.qos[name], other.qos[name]
            if not mine.is_whole:
                found[name] = replace(
                    mine, user=Count(theirs.user.limit, 0), account_limit=theirs.account_limit, is_whole=True
                )
        return replace(self, qos=found)


def caps(policy: Policy, user: str, account: str | None, partition: str, order: Sequence[str]) -> list[Cap]:
    """Return the limits that apply to a job, the most restrictive first.

    Args:
        policy: limits from accounting.
        user: owner of the job.
        account: of the job; None for the user's default.
        partition: of the job.
        order: names of QOS: the partition's, then the job's.
    """
    own = _association(policy.associations, user, account, partition)
    ranks = [policy.qos[name] for name in order if name in policy.qos]
    per_user = _first((f"MaxSubmitJobsPerUser of QOS {qos.name}", qos.user) for qos in ranks)
    per_account = _first(
        (f"MaxSubmitJobsPerAccount of QOS {qos.name}", _of_account(qos, own)) for qos in ranks
    )
    group = _first((f"GrpSubmitJobs of QOS {qos.name}", qos.group) for qos in ranks)
    found = [*per_user, *per_account, *group]
    if own is not None and not (per_user or per_account):
        found += _first([(f"MaxSubmitJobs of {user} in account {own.account}", own.submit)])
    if own is not None and not group:
        for row in _upwards(policy.associations, own):
            whose = f"{user} in account {row.account}" if row.user else f"account {row.account}"
            found += _first([(f"GrpSubmitJobs of {whose}", row.group)])
    return sorted(found, key=lambda cap: float("inf") if cap.capacity is None else cap.capacity)


def wall_minutes(
    policy: Policy, user: str, account: str | None, partition: str, order: Sequence[str]
) -> int | None:
    """Return the longest walltime that accounting allows, in minutes; None for any."""
    own = _association(policy.associations, user, account, partition)
    walls = [policy.qos[name].wall for name in order if name in policy.qos] + [own.wall if own else None]
    return next((wall for wall in walls if wall is not None), None)


ANY_USER = "*"
"""User name in the rows of a table that contains only one user."""


def _of_account(qos: Qos, own: Association | None) -> Count:
    return Count(qos.account_limit, None if own is None else qos.account_used.get(own.account, 0))


def _association(
    rows: Sequence[Association], user: str, account: str | None, partition: str
) -> Association | None:
    """Return a user's own row; a row for the partition takes precedence over one for all partitions."""
    mine = [row for row in rows if row.user in (user, ANY_USER) and row.partition in ("", partition)]
    mine = [row for row in mine if (row.default if account is None else row.account == account)]
    return max(mine, key=lambda row: len(row.partition), default=None)


def _upwards(rows: Sequence[Association], own: Association) -> Iterable[Association]:
    """Yield a user's row, its account's row, and the rows of all parent accounts."""
    yield own
    above = {row.account: row for row in rows if not row.user}
    account = own.account
    while account in above:
        row = above.pop(account)
        yield row
        account = row.parent


def _first(counts: Iterable[tuple[str, Count]]) -> list[Cap]:
    for label, count in counts:
        if count.limit is not None:
            return [Cap(label, count.limit, count.used)]
    return []
