"""A process that performs one commit in a folder on request, under injected kills and disk errors.

    python commit_victim.py VERB FOLDER

It prints "ready", waits for a line, acts without importing anything more, and leaves without a further system
call: status 0 if the act succeeded, 3 (and the message on stderr) if it ended in a StoreError.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import sys
from pathlib import Path

from lthsweep.errors import StoreError
from lthsweep.store.claims import release, take
from lthsweep.store.commit import commit_new, replace
from lthsweep.store.layout import SweepDir
from lthsweep.store.owners import this_process

NEW = bytes(range(256)) * 400
KEY = "run"


def take_and_release(folder: Path) -> None:
    """A worker's claim from its beginning to its end."""
    sweep, owner = SweepDir(folder), this_process()
    take(sweep, KEY, owner, 60.0)
    release(sweep, KEY, owner)


def commit_without_links(folder: Path) -> None:
    """`commit_new` on a file system that refuses hard links."""

    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    os.link = refuse  # type: ignore[assignment]
    commit_new(folder / "file", NEW)


VERBS = {
    "commit_new": lambda folder: commit_new(folder / "file", NEW),
    "commit_without_links": commit_without_links,
    "replace": lambda folder: replace(folder / "file", NEW),
    "claim": take_and_release,
}


def main() -> None:
    """See the module."""
    act, folder = VERBS[sys.argv[1]], Path(sys.argv[2])
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(
            0x59616D61, ctypes.c_ulong(-1), 0, 0, 0
        )  # PR_SET_PTRACER_ANY: Ubuntu asks for it
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        act(folder)
    except StoreError as error:
        os.write(2, str(error).encode())
        os._exit(3)
    os._exit(0)


if __name__ == "__main__":
    main()
