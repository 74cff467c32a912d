"""A worker's claim on a run, so that two workers do not train the same run.

A claim saves work; `lthsweep.store.publish` protects results without it. It is advisory, but exact: of all workers
that want a free run, or the run of a dead owner, exactly one gets it.

The difficulty is the takeover. A process that removes a dead owner's claim and then writes a new one takes two
steps; between them, two processes that both found the owner dead can remove each other's new claim. So nothing is
removed while the run is unfinished: claims form a chain. `<key>.json` is generation 0. A process that finds the owner
of generation n dead, or its claim released, links generation n + 1, and a link succeeds for one process only. The
last generation owns the run. The chain grows by one file per interruption, and is removed only when the record
exists: a late process that starts a new chain then finds the record and stops.

An owner is dead if it is known to have ended (`lthsweep.store.owners`), or, if this is unknown, if its heartbeat, the
modification time of its claim, is too old. Ages are differences of times by the same file server, never of the clocks
of two hosts.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from lthsweep.errors import StoreError
from lthsweep.store import plainjson
from lthsweep.store.commit import commit_new, read_whole, replace
from lthsweep.store.layout import SweepDir
from lthsweep.store.owners import Owner, has_ended, is_here

__all__ = [
    "evict",
    "holder",
    "refresh",
    "release",
    "take",
]


def take(sweep: SweepDir, key: str, owner: Owner, stale_seconds: float) -> bool:
    """Take the claim on a run, if it is free.

    Args:
        sweep: its folders must exist.
        key: of the run.
        owner: the new owner, see `this_process`.
        stale_seconds: age of a heartbeat beyond which an owner elsewhere is dead; several times the interval
            at which owners call `refresh`.

    Returns:
        True if `owner` holds the claim now (also if it did before); False if another living owner does, or if
        the run has a record and needs none.

    Raises:
        StoreError: if the claim cannot be written.
    """
    if sweep.has_record(key):
        return False
    content = plainjson.dump(asdict(owner))
    generation, holding = _last(sweep, key)
    while True:
        if generation >= 0:
            path = sweep.claim(key, generation)
            if holding is not None and holding.token == owner.token:
                return True
            if not _is_free(path, holding, stale_seconds):
                return False
        if commit_new(sweep.claim(key, generation + 1), content, durable=False):
            break
        generation, holding = _last(sweep, key, generation + 1)
    if sweep.has_record(key):  # the run finished before the link, so the chain is not needed any more
        _clear(sweep, key)
        return False
    return True


def refresh(sweep: SweepDir, key: str, owner: Owner) -> bool:
    """Update the heartbeat of a claim.

    Returns:
        True if `owner` still holds the claim. If not, another worker took it over because this one was stopped too
        long, or `state/` was cleared; to continue is harmless but wasteful.
    """
    generation, holding = _last(sweep, key)
    if holding is None or holding.token != owner.token:
        return False
    try:
        os.utime(sweep.claim(key, generation))
    except OSError:
        return False
    return True


def release(sweep: SweepDir, key: str, owner: Owner) -> None:
    """Release the claim if `owner` still holds it; the claim of another owner is not touched.

    If the run has a record, the whole chain is removed; otherwise the run is free for the next worker.
    """
    if sweep.has_record(key):
        _clear(sweep, key)
        return
    generation, holding = _last(sweep, key)
    if holding is not None and holding.token == owner.token:
        # Only its owner writes a generation, so no other process can lose a claim here.
        path = sweep.claim(key, generation)
        try:
            replace(path, plainjson.dump({"released": True}), durable=False)
        except StoreError:  # no space: an old empty file needs none and counts as released
            with contextlib.suppress(OSError):
                os.truncate(path, 0)
                os.utime(path, (0, 0))


def evict(sweep: SweepDir, key: str, host: str, pid: int) -> bool:
    """Release the claim of an owner that is alive but hangs, so that another worker can train the run.

    The chain gets one more generation, a released one; the owner's generation stays as it is. If the owner continues,
    it finds that it lost the claim, and its record, if it finishes one, is compared like any other.

    Args:
        sweep: its folders must exist.
        key: of the run.
        host: the owner's. A claim that has another owner meanwhile is not touched.
        pid: the owner's.

    Returns:
        Whether the run was freed.

    Raises:
        StoreError: if that cannot be written.
    """
    generation, holding = _last(sweep, key)
    if holding is None or (holding.host, holding.pid) != (host, pid):
        return False
    return commit_new(sweep.claim(key, generation + 1), plainjson.dump({"released": True}), durable=False)


def holder(sweep: SweepDir, key: str, stale_seconds: float) -> Owner | None:
    """Return the living owner of the claim on a run, or None."""
    generation, holding = _last(sweep, key)
    if generation < 0 or holding is None or _is_free(sweep.claim(key, generation), holding, stale_seconds):
        return None
    return holding


def _last(sweep: SweepDir, key: str, start: int = 0) -> tuple[int, Owner | None]:
    """Return the last generation of the chain (-1: none), and its owner (None: released or unreadable)."""
    last: tuple[int, Owner | None] = (start - 1, None)
    for generation, owner in _chain(sweep, key, start):
        last = (generation, owner)
    return last


def _chain(sweep: SweepDir, key: str, start: int) -> Iterator[tuple[int, Owner | None]]:
    generation = start
    while True:
        try:
            data = read_whole(sweep.claim(key, generation))
        except FileNotFoundError:
            return
        yield generation, Owner.parse(data)
        generation += 1


def _is_free(path: Path, owner: Owner | None, stale_seconds: float) -> bool:
    if owner is None:
        return _is_released(path) or _age(path) > stale_seconds
    if has_ended(owner):
        return True
    return not is_here(owner) and _age(path) > stale_seconds


def _is_released(path: Path) -> bool:
    try:
        content = plainjson.load(read_whole(path))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("released") is True


def _age(path: Path) -> float:
    """Return seconds since the file was modified, by the clock of its file system; 0 if it is gone."""
    probe = path.parent / f".{path.name}.{os.urandom(8).hex()}.tmp"
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            return probe.stat().st_mtime - path.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)
    except OSError:
        return 0.0


def _clear(sweep: SweepDir, key: str) -> None:
    generations = [generation for generation, _ in _chain(sweep, key, 0)]
    for generation in reversed(generations):  # from the top, so that a kill leaves a chain without holes
        try:
            sweep.claim(key, generation).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot remove {sweep.claim(key, generation)}: {error.strerror or error}; "
                f"delete it when no worker runs"
            ) from error
