"""The sources that were read on this machine, so that an unchanged one is known without reading it again.

One JSON file per request and source, `<cache>/sources/<request>/<digest>.json`. A request is a data set, its options
and the place of its files. The newest file is compared with the files on disk; older ones show what changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter

from lthsweep.data.source import Source

__all__ = ["difference", "newest_source", "recall", "remember"]

_SOURCE = TypeAdapter(Source)
_SHOWN = 3  # names in a message


def remember(cache: Path, request: Mapping[str, object], source: Source) -> None:
    """Store the source that a request was answered from; a cache that cannot be written is no error here."""
    folder = _folder(cache, request)
    part = folder / f".{secrets.token_hex(6)}.part"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        part.write_bytes(_SOURCE.dump_json(source))
        part.replace(folder / f"{source.digest}.json")


def newest_source(cache: Path, request: Mapping[str, object]) -> Source | None:
    """Return the source that answered a request last; None if there is none."""
    sources = [_read(path) for path in _folder(cache, request).glob("*.json")]
    return max((source for source in sources if source), key=lambda source: source.listed, default=None)


def recall(cache: Path, request: Mapping[str, object], digest: str) -> Source | None:
    """Return the source of a digest that answered a request before; None if it is not known here."""
    return _read(_folder(cache, request) / f"{digest}.json")


def difference(before: Source, now: Source) -> str:
    """Return what differs between the files of two sources, as the end of a sentence."""
    old, new = (
        {_shown_path(file.path, source.folder): (file.size, file.modified) for file in source.files}
        for source in (before, now)
    )
    kinds = {
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "changed": sorted(name for name in old.keys() & new.keys() if old[name] != new[name]),
    }
    found = [f"{len(names):,} {kind} ({_shown(names)})" for kind, names in kinds.items() if names]
    return ", ".join(found) or "contents changed without a trace in names, sizes and times"


def _shown_path(path: str, folder: str) -> str:
    return os.path.relpath(path, folder) if folder else path


def _shown(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def _folder(cache: Path, request: Mapping[str, object]) -> Path:
    name = json.dumps(request, sort_keys=True)
    return cache / "sources" / hashlib.sha256(name.encode()).hexdigest()[:12]


def _read(path: Path) -> Source | None:
    try:
        source = _SOURCE.validate_json(path.read_bytes())
        return source if source.digest == path.stem else None
    except (OSError, ValueError):  # damaged: the files are read again
        return None
