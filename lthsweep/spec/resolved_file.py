"""The file that a sweep directory keeps: as resolved, between a line with its sha256 and a line that ends it.

A changed digit could be another margin, and so another verdict. The hash stands first and the end is marked, so that a
file that lost its last lines, or its first ones, is not taken for one that a user wrote.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from lthsweep.errors import SpecError
from lthsweep.spec.spec import Spec, dump_spec

__all__ = ["check_resolved", "resolved_file"]

_END = "# the end: to change the sweep, edit a copy, and run it with --out\n"
_HEAD = re.compile(r"# written by lthsweep, sha256 of the lines below: ([0-9a-f]{64})\n")


def resolved_file(spec: Spec) -> str:
    """Return the text of `sweep.toml` in a sweep directory."""
    body = f"{dump_spec(spec)}\n{_END}"
    return f"# written by lthsweep, sha256 of the lines below: {_digest(body)}\n{body}"


def check_resolved(path: Path, text: str) -> None:
    """Check the hash in a sweep directory's file. A file without it was written by a user.

    Raises:
        SpecError: if the file is damaged, or was edited.
    """
    head = _HEAD.match(text)
    if head is None and not text.endswith(_END):
        return
    if head is None or head[1] != _digest(text[head.end() :]):
        raise SpecError(
            f"{path} is damaged or was edited: its sha256 is another; `lthsweep run FILE --out {path.parent}` with the "
            f"file of the sweep writes it again, and {path.parent / 'table.h5'} contains it, too (`import lthsweep; "
            f"lthsweep.load(PATH_OF_TABLE).spec`)"
        )


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
