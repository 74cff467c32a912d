"""How many jobs accounting lets a user have: the limits of associations and QOS, and what is used of them. Pure.

SLURM's order, as in its acct_policy.c and as measured: the QOS of the partition is asked first; the job's QOS counts
where that one sets nothing; the association (user, account, partition) counts where neither limits a user or an
account; limits on groups are checked for the user's row, the account and all accounts above it, unless a QOS sets such
a limit. The elements of an array count one by one.
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
    """A limit (None: there is none) and how much of it is used (None: not known)."""

    limit: int | None = None
    used: int | None = None


NONE = Count()


@dataclass(frozen=True)
class Cap:
    """A limit that a job meets: its name for people, the number, and how much of it is used (None: not known)."""

    label: str
    limit: int
    used: int | None

    @property
    def room(self) -> int | None:
        """How many more fit."""
        return None if self.used is None else max(0, self.limit - self.used)

    def __str__(self) -> str:
        used = "an unknown number" if self.used is None else self.used
        return f"{self.label} {self.limit}, {used} in use"


@dataclass(frozen=True)
class Association:
    """A user's, or an account's, row in accounting.

    Attributes:
        account, user, partition: which; "" for a row of all users, or of all partitions.
        parent: the account above; "" for none, and in a user's row.
        default: the one that counts if a job names no account.
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
        name: of it.
        user: MaxSubmitJobsPerUser, as used by the one who asks.
        account: MaxSubmitJobsPerAccount: its limit, and what each account uses.
        group: GrpSubmitJobs.
        is_whole: False if the limits per user or per account were not shown, for want of jobs.
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
    """All that accounting says to one user."""

    associations: tuple[Association, ...]
    qos: Mapping[str, Qos]

    def completed(self, other: Policy) -> Policy:
        """With limits from `other` where nobody has jobs in a QOS, so that this one does not show them."""
        found = dict(self.qos)
        for name in self.qos.keys() & other.qos.keys():
            mine, theirs = self.qos[name], other.qos[name]
            if not mine.is_whole:
                found[name] = replace(
                    mine, user=Count(theirs.user.limit, 0), account_limit=theirs.account_limit, is_whole=True
                )
        return replace(self, qos=found)


def caps(policy: Policy, user: str, account: str | None, partition: str, order: Sequence[str]) -> list[Cap]:
    """The limits that a job of this kind meets, the next to be met first.

    Args:
        policy: what accounting says.
        user: whose job.
        account: which it names; None for the user's default.
        partition: where it is to run.
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
    return sorted(found, key=lambda cap: float("inf") if cap.room is None else cap.room)


def wall_minutes(
    policy: Policy, user: str, account: str | None, partition: str, order: Sequence[str]
) -> int | None:
    """The longest job that accounting allows, in minutes; None for any."""
    own = _association(policy.associations, user, account, partition)
    walls = [policy.qos[name].wall for name in order if name in policy.qos] + [own.wall if own else None]
    return next((wall for wall in walls if wall is not None), None)


ANY_USER = "*"
"""The user of rows in a table of one user's."""


def _of_account(qos: Qos, own: Association | None) -> Count:
    return Count(qos.account_limit, None if own is None else qos.account_used.get(own.account, 0))


def _association(
    rows: Sequence[Association], user: str, account: str | None, partition: str
) -> Association | None:
    """A user's own row; one for the partition comes before the one for all."""
    mine = [row for row in rows if row.user in (user, ANY_USER) and row.partition in ("", partition)]
    mine = [row for row in mine if (row.default if account is None else row.account == account)]
    return max(mine, key=lambda row: len(row.partition), default=None)


def _upwards(rows: Sequence[Association], own: Association) -> Iterable[Association]:
    """A user's row, then its account's, then those of all accounts above."""
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
