"""A worker's claim on a run, so that two workers do not train the same thing.

A claim saves work; it does not guard results (`lthsweep.store.publish` does that in any case). It
is advisory, but right: of all who want a free run, or the run of a dead owner, exactly one gets it.

The difficulty is the takeover. To remove a dead owner's claim and to put one's own in its place are two
steps, and between them two who both found the owner dead may each remove the other's fresh claim. So nothing
is ever removed while the run is unfinished: claims form a chain. `<key>.json` is generation 0; who finds the
owner of generation n dead, or released by its owner, links generation n + 1, and a link succeeds for one
only. The last generation owns the run. The chain grows by a file per interruption and goes when the record is
there, and only then: a straggler that starts a fresh chain afterward finds the record, and leaves.

An owner is dead if it is known to have ended (`lthsweep.store.owners`), or, if this is unknown, if its
heartbeat, the time of modification of its claim, is too old. Ages are taken between times that the same file server
gave, never from the clocks of two hosts.
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
    """Try to get the claim on a run.

    Args:
        sweep: its folders must exist.
        key: of the run.
        owner: who wants it, see `this_process`.
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
    if sweep.has_record(
        key
    ):  # finished between the first look and the link: the chain is not needed any more
        _clear(sweep, key)
        return False
    return True


def refresh(sweep: SweepDir, key: str, owner: Owner) -> bool:
    """Give a heartbeat.

    Returns:
        Whether `owner` still holds the claim. If not, another took it over (this worker was stopped too long)
        or `state/` was cleared; continuing is harmless but wasteful.
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
    """Give the claim back, if `owner` still holds it; another's claim is not touched.

    With the run's record on disk the whole chain goes; otherwise the run is free for the next one who asks.
    """
    if sweep.has_record(key):
        _clear(sweep, key)
        return
    generation, holding = _last(sweep, key)
    if holding is not None and holding.token == owner.token:
        # A generation is written by its owner only, so no other process can lose anything here.
        path = sweep.claim(key, generation)
        try:
            replace(path, plainjson.dump({"released": True}), durable=False)
        except StoreError:  # no space: an empty file of great age needs none, and is as free
            with contextlib.suppress(OSError):
                os.truncate(path, 0)
                os.utime(path, (0, 0))


def evict(sweep: SweepDir, key: str, host: str, pid: int) -> bool:
    """Free a run from an owner that lives and does nothing, so that it can be trained elsewhere.

    The chain gets one more generation, a released one; the owner's own stays as it is. Should the owner wake up, it
    finds that the claim is not its own any more, and its record, if it comes to one, is compared like any other.

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
    """The living owner of the claim on a run, or None."""
    generation, holding = _last(sweep, key)
    if generation < 0 or holding is None or _is_free(sweep.claim(key, generation), holding, stale_seconds):
        return None
    return holding


def _last(sweep: SweepDir, key: str, start: int = 0) -> tuple[int, Owner | None]:
    """The last generation of the chain (-1: none), and its owner (None: released or unreadable)."""
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
    """Seconds since the file was modified, by the clock of the file system it is on; 0 if it is gone."""
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
