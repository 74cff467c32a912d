"""Publish a file whole or not at all.

libhdf5 must never touch the destination: a full disk makes it crash, and the partial file may open. So
files are built in memory and published here: unique temporary file, fsync, then `link` (first one wins,
nothing is overwritten) or `rename` (old or new, nothing between), then fsync of the folder. Killed at any
system call, the destination is absent, old, or the whole new file; at most a temporary file whose name starts with a
dot is left over.

Locks are not used: on some file systems of clusters they fail, block, or do not lock.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lthsweep.errors import StoreError

__all__ = ["commit_new", "is_temporary", "read_whole", "reading", "replace", "sweep_temps"]

_TEMP_SUFFIX = ".tmp"
_LOCK_SUFFIX = ".publishing"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
_PATIENCE_SECONDS = 2.0
"""How long a rename may take before its owner counts as killed, on file systems without hard links."""


def commit_new(path: Path, data: bytes, *, durable: bool = True) -> bool:
    """Publish `data` under `path` unless the path exists.

    Args:
        path: destination; its folder must exist.
        data: the whole content.
        durable: fsync file and folder, so that the file survives a loss of power. Costs milliseconds.

    Returns:
        True if the file is ours; False if another process was first, whose file stays as it is.

    Raises:
        StoreError: no space, no permission, or the disk failed. A failed fsync is not tried again: the kernel
            has dropped the data, and a second fsync would claim success.
    """
    if os.path.lexists(path):  # presence is proof, even where absence is not
        return False
    temp = _write_temp(path, data, durable)
    try:
        won = _link(temp, path)
        if won is None:
            won = _rename_unless_there(temp, path)
        _unlink_quietly(temp)
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        _unlink_quietly(temp)
        raise _explained(error, path, len(data)) from error
    return won


def replace(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Publish `data` under `path` in place of an older file; readers see the old or the new, never a mixture.

    Raises:
        StoreError: as `commit_new`; the old file then remains.
    """
    temp = _write_temp(path, data, durable)
    try:
        temp.replace(path)
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        _unlink_quietly(temp)
        raise _explained(error, path, len(data)) from error


def read_whole(path: Path) -> bytes:
    """Return all bytes of a file.

    A file replaced on an NFS server while a client opens it gives ESTALE once; a second look finds the new
    one.

    Raises:
        FileNotFoundError: if it is not there.
        StoreError: if it cannot be read.
    """
    with reading(path):
        try:
            return path.read_bytes()
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            return path.read_bytes()


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn errors in reading a file into a StoreError, except FileNotFoundError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(
            f"cannot read {path}: {error.strerror or error}; check its permissions "
            f"and the file system's health"
        ) from error


def sweep_temps(folder: Path, older_than_seconds: float, *, now: float | None = None) -> list[Path]:
    """Remove the temporary files of killed writers in `folder`.

    Args:
        folder: not searched below; may be missing.
        older_than_seconds: by modification time, so that a living writer keeps its file.
        now: seconds since the epoch; the present if None.

    Returns:
        The removed paths, sorted.
    """
    moment = time.time() if now is None else now
    removed = []
    try:
        entries = sorted(Path(entry.path) for entry in os.scandir(folder) if is_temporary(entry.name))
    except FileNotFoundError:
        return []
    for path in entries:
        try:
            if moment - path.lstat().st_mtime >= older_than_seconds:
                path.unlink()
                removed.append(path)
        except FileNotFoundError:  # its writer, or another sweeper, was faster
            continue
    return removed


def is_temporary(name: str) -> bool:
    """Return True for the name of a temporary file, which is not published."""
    return name.startswith(".") and name.endswith((_TEMP_SUFFIX, _LOCK_SUFFIX))


def _write_temp(path: Path, data: bytes, durable: bool) -> Path:
    temp = path.parent / f".{path.name}.{os.urandom(8).hex()}{_TEMP_SUFFIX}"
    made = False
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        handle = os.open(temp, flags, 0o666)
        made = True
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(handle, rest) :]
            if durable:
                os.fsync(handle)
        finally:
            os.close(handle)  # NFS reports failed writes here, so its errors count
    except OSError as error:
        if made:
            _unlink_quietly(temp)
        raise _explained(error, path, len(data)) from error
    return temp


def _link(temp: Path, path: Path) -> bool | None:
    """Link the final name; return True for success, False if the name exists, None without hard links."""
    try:
        os.link(temp, path)
    except OSError as error:
        # An NFS client that repeats a lost request gets EEXIST from its own success; open(2): check the link
        # count.
        if _links(temp) == 2:
            return True
        if error.errno == errno.EEXIST:
            return False
        if error.errno in _NO_LINKS:
            return None
        raise
    return True


def _links(path: Path) -> int:
    try:
        return path.lstat().st_nlink
    except OSError:
        return 0


def _rename_unless_there(temp: Path, path: Path) -> bool:
    """Publish without hard links: create an exclusive file, check the destination, rename.

    Weaker than `link` in one case only: a writer stopped between look and rename for longer than the patience
    of another writer of the same file replaces that one's file by its own, equally whole one.
    """
    lock = path.parent / f".{path.name}{_LOCK_SUFFIX}"
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            os.close(os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
            break
        except FileExistsError:
            if os.path.lexists(path):
                return False
            if time.monotonic() < deadline:
                time.sleep(0.01)
                continue
            # Its owner was killed. Of all processes that try, one rename succeeds.
            grave = path.parent / f".{path.name}.{os.urandom(8).hex()}{_LOCK_SUFFIX}"
            try:
                lock.rename(grave)
            except FileNotFoundError:
                continue
            _unlink_quietly(grave)
    try:
        if os.path.lexists(path):
            return False
        temp.replace(path)
        return True
    finally:
        _unlink_quietly(lock)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems have no fsync of folders, and say so
            raise
    finally:
        os.close(handle)


def _unlink_quietly(path: Path) -> None:
    try:
        path.unlink()
    except OSError:  # sweep_temps gets it later; the error that led here matters more
        return


def _explained(error: OSError, path: Path, size: int) -> StoreError:
    """Return the error as a StoreError with a remedy."""
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return StoreError(
            f"no space for {path}: {_megabytes(size)} MB needed{_free(path.parent)} ({reason}); free space, "
            f"raise the quota or the limit on file size, then run the same command again. Everything written "
            f"before is intact"
        )
    return StoreError(
        f"cannot write {path} ({_megabytes(size)} MB): {reason}; check the folder's permissions and the file "
        f"system's health, then run the same command again. Everything written before is intact"
    )


def _megabytes(size: int) -> str:
    return f"{max(size / 1e6, 0.001):.3f}"


def _free(folder: Path) -> str:
    try:
        return f", {shutil.disk_usage(folder).free / 1e6:.3f} MB free"
    except OSError:
        return ""
