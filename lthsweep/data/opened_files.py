"""Which files some code opens for reading, by Python's audit events.

A reader of the user, or of a library, can read any file. This is how lthsweep knows which ones its data depend on.
Files that a C library opens by itself (HDF5, Arrow) raise no event; `Files.watch` names them.
"""

from __future__ import annotations

import functools
import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["opened_files"]

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
