"""Which files some code opens for reading, by Python's audit events.

A reader of the user, or of a library, can read any file. This is how lthsweep knows which ones its data depend on.
Files that a C library opens by itself (HDF5, Arrow) raise no event; `Files.watch` names them.
"""

from __future__ import annotations

import functools
import json
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lthsweep.data.decoded import Decoded
from lthsweep.data.packed import fingerprint
from lthsweep.data.source import Source, sha256_hex, stat_file

__all__ = ["opened_files", "source_of_files"]

_recorders: list[dict[Path, None]] = []
"""The sets of files that are recorded now: an audit hook cannot be removed, so one hook serves all."""


@contextmanager
def opened_files() -> Iterator[dict[Path, None]]:
    """Record the regular files that this process opens for reading, in the order of first opening.

    Left out are files of Python and its packages, sources of modules, files that exist no longer, and devices.
    """
    _install()
    found: dict[Path, None] = {}
    _recorders.append(found)
    try:
        yield found
    finally:
        _recorders.remove(found)
        for path in [path for path in found if not _is_data(path)]:
            del found[path]


def source_of_files(reader: str, decoded: Decoded, opened: Iterable[Path], root: Path, listed: int) -> Source:
    """Return the source of data by its reader and the files that it opened.

    Args:
        reader: its name, with the hash of its source for code of the user.
        decoded: the data; its values identify it if no file was opened.
        opened: from `opened_files`.
        root: the data root.
        listed: when the reader started, in nanoseconds since the epoch.
    """
    known: dict[str, str] = {}
    found = []
    for path in sorted(opened):
        known[_relative(path, root)] = sha256_hex(path.read_bytes())
        found.append(stat_file(path))
    content: object = sorted(known.items()) if known else fingerprint(decoded)
    digest = sha256_hex(json.dumps(["reader", reader, content]).encode())
    return Source(digest, tuple(found), listed=listed)


def _relative(path: Path, root: Path) -> str:
    """The part of a path that is the same on another machine."""
    for folder in (root.absolute(), Path.cwd()):
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
    return path.name


@functools.cache
def _install() -> None:
    sys.addaudithook(_note)


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event != "open" or not _recorders:
        return
    path, _, flags = arguments
    if isinstance(flags, int) and flags & os.O_ACCMODE != os.O_RDONLY:
        return
    if isinstance(path, str | bytes):  # a number is a file that is open already
        for recorder in _recorders:
            recorder[Path(os.fsdecode(path)).absolute()] = None


def _is_data(path: Path) -> bool:
    """True for a file that can hold the user's data."""
    try:
        resolved = path.resolve()
        if not resolved.is_file() or resolved.suffix in (".py", ".pyc", ".so"):
            return False
    except OSError:
        return False
    return not any(resolved.is_relative_to(folder) for folder in _system_folders())


def _system_folders() -> list[Path]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    packages = [*(sysconfig.get_path(name) for name in names), *site.getsitepackages()]
    return [Path(folder).resolve() for folder in ("/proc", "/sys", "/dev", "/etc", *packages)]
