"""Every error that lthsweep raises on purpose, under one base.

A message states the problem, its place, and the remedy. It is the only constructor argument, so that an error
survives the trip between processes. Only `lthsweep.cli.main` catches the base: it prints the message and leaves with
the class's `exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import ClassVar, Self, TypeVar

__all__ = [
    "BudgetError",
    "CanceledError",
    "ChangedDataError",
    "ClusterSilentError",
    "CodeError",
    "CorruptRecordError",
    "DataError",
    "LaunchError",
    "LthsweepError",
    "MissingDataError",
    "MissingRecordError",
    "ModelError",
    "NotNowError",
    "PruningError",
    "QueryError",
    "RefusedError",
    "SpecError",
    "StoreError",
    "TrainingError",
    "UnknownNameError",
    "look_up",
    "nearest",
]

_Entry = TypeVar("_Entry")


class LthsweepError(Exception):
    """Base of all errors of this package."""

    exit_code: ClassVar[int] = 1


class SpecError(LthsweepError, ValueError):
    """The TOML file, a preset's name or an override is wrong; nothing was written."""

    exit_code = 2


class UnknownNameError(SpecError):
    """A name is not in the registry it was looked up in."""

    @classmethod
    def of(cls, what: str, name: str, known: Iterable[str]) -> Self:
        """Say which `what` was asked for, which are known, and which of them is nearest to `name`."""
        names = sorted(known)
        hint = nearest(name, names)
        return cls(
            f"unknown {what} {name!r}{f'; did you mean {hint!r}?' if hint else ';'} known: {', '.join(names)}"
        )


class CodeError(LthsweepError, ValueError):
    """Code of the user that a file names is missing, not allowed, changed, or unsuitable."""

    exit_code = 2


class QueryError(LthsweepError, ValueError):
    """A query over the tables cannot be answered as written."""

    exit_code = 2


class DataError(LthsweepError):
    """The files of a data set are unreadable, damaged, or of the wrong kind."""

    exit_code = 2


class MissingDataError(DataError, FileNotFoundError):
    """A data set is not on this machine; the message names the command that gets it."""


class ChangedDataError(DataError):
    """The data of a sweep is not that of its records; nothing was trained."""


class ModelError(LthsweepError, ValueError):
    """A model cannot be built as asked."""

    exit_code = 2


class PruningError(LthsweepError, ValueError):
    """A mask cannot be made as asked."""


class BudgetError(PruningError):
    """A ticket cannot be made in the time that is given; the message names the smallest that would do."""


class TrainingError(LthsweepError):
    """A training cannot be started or continued as asked."""


class StoreError(LthsweepError, OSError):
    """A sweep directory cannot be read or written: no space, no permission, foreign content."""


class CorruptRecordError(StoreError):
    """A file of the store is damaged or hostile: it was not written, whole, by this package."""


class MissingRecordError(StoreError, FileNotFoundError):
    """A planned run has no record in the store."""


class LaunchError(LthsweepError):
    """Workers cannot be started or have failed beyond the number of retries."""


class CanceledError(LthsweepError):
    """The run was canceled by the user."""


class ClusterSilentError(LaunchError):
    """SLURM did not answer, or not in a way that can be relied on: nothing follows from that."""

    exit_code = 3


class RefusedError(LaunchError):
    """SLURM refused a job: nothing was queued."""


class NotNowError(RefusedError):
    """SLURM refused a job that it can accept later: there are too many jobs, or the partition is closed for now."""


def look_up(what: str, name: str, registry: Mapping[str, _Entry]) -> _Entry:
    """The entry of a registry.

    Args:
        what: what the registry contains, for the message.
        name: as written in the sweep's file.
        registry: name → entry.

    Raises:
        UnknownNameError: if there is none of that name; the message gives the nearest.
    """
    if name not in registry:
        raise UnknownNameError.of(what, name, known=registry)
    return registry[name]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The entry of `known` that looks most like `name`, or None if nothing comes near."""
    known = list(known)
    # "lenet" looks more like "resnet56", but begins "lenet_300_100".
    begun = [entry for entry in known if len(name) > 2 and entry.startswith(name)]
    matches = begun or difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return matches[0] if matches else None
