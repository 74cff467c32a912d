"""Failures, stored apart from results: an infrastructure failure is never a result.

One small JSON file per failed run, with its last failure. Advisory: without the file, the run is missing.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

from lthsweep.errors import StoreError
from lthsweep.store import plainjson
from lthsweep.store.commit import replace
from lthsweep.store.hashed import read_hashed, with_hash
from lthsweep.store.layout import SweepDir

__all__ = [
    "CANCELLED",
    "DAMAGED",
    "GAVE_UP",
    "Failure",
    "clear_failure",
    "is_canceled",
    "read_failures",
    "record_failure",
]

CANCELLED = "CanceledError"
"""Kind of the failure of a run that the user canceled."""

DAMAGED = "damaged"
"""Kind of the entry for a run whose record is damaged. The run itself did not fail, and no file has this kind."""

GAVE_UP = "GaveUp"
"""Kind of the failure of a run whose jobs repeatedly ended without progress."""

_ATTEMPTS = range(2**31)


@dataclass(frozen=True)
class Failure:
    """The reason why an attempt at a run ended without a record.

    Attributes:
        cause: one sentence, e.g. "killed by signal 9 (SIGKILL), perhaps out of memory".
        kind: class of the cause, e.g. "killed", "timeout", "TrainingError".
        host: name of the machine.
        attempt: number of attempts until then, from 1.
        log: path of the log; "" if there is none.
        time: seconds since the epoch.
        infrastructure: True if the machine caused it, so that another attempt can succeed.
    """

    cause: str
    kind: str = "error"
    host: str = ""
    attempt: int = 1
    log: str = ""
    time: float = 0.0
    infrastructure: bool = False

    @property
    def is_final(self) -> bool:
        """True if final: retried only with `--retry-failed`."""
        return not self.infrastructure or self.kind == GAVE_UP


def record_failure(sweep: SweepDir, key: str, failure: Failure) -> None:
    """Store the last failure of a run, in place of an earlier one.

    Raises:
        StoreError: if it cannot be written.
    """
    path = sweep.failure(key)
    replace(path, with_hash(path, plainjson.dump(asdict(failure))), durable=False)


def read_failures(sweep: SweepDir) -> dict[str, Failure]:
    """Return key → last failure of the run; an unreadable file counts as a failure with that cause."""
    try:
        names = sorted(os.listdir(sweep.failures))  # noqa: PTH208 (names, not paths, are wanted)
    except (FileNotFoundError, PermissionError):  # state/ is its owner's; a reader sees the results
        return {}
    found = {}
    for name in names:
        if name.startswith(".") or not name.endswith(".json"):
            continue
        failure = _read(sweep.failures / name)
        if failure is not None:
            found[name.removesuffix(".json")] = failure
    return found


def read_failure(sweep: SweepDir, key: str) -> Failure | None:
    """Return how a run failed; None if it did not."""
    return _read(sweep.failure(key))


def clear_failure(sweep: SweepDir, key: str) -> None:
    """Remove the failure of a run, if any: before a retry, or after success."""
    sweep.failure(key).unlink(missing_ok=True)


def is_canceled(sweep: SweepDir, key: str) -> bool:
    """Return True if the user canceled a run; reads one file."""
    path = sweep.failure(key)
    failure = _read(path) if path.exists() else None
    return failure is not None and failure.kind == CANCELLED


def _read(path: Path) -> Failure | None:
    try:
        content = plainjson.load(read_hashed(path))
        if int(content["attempt"]) not in _ATTEMPTS:
            raise ValueError("an impossible number of attempts")
        return Failure(
            cause=str(content["cause"]),
            kind=str(content["kind"]),
            host=str(content["host"]),
            attempt=int(content["attempt"]),
            log=str(content["log"]),
            time=float(content["time"]),
            infrastructure=content["infrastructure"] is True,
        )
    except FileNotFoundError:  # cleared meanwhile
        return None
    except (StoreError, ValueError, KeyError, TypeError):
        return Failure(cause=f"its failure file {path} cannot be read; delete it", kind="unreadable")
