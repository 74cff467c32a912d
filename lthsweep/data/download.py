"""Fetching published files: checked, resumable, and never half there under their final name.

Bytes go to `FILE.<token>.part` beside the final name, which appears by an atomic rename once size and
checksum are right. A part that its process left behind is taken over, again by a rename, so that exactly one
process goes on with it.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from lthsweep.data.registry import Source
from lthsweep.errors import DataError, MissingDataError

__all__ = ["Progress", "download", "md5_of"]

Progress = Callable[[str, int, int], None]  # file name, bytes there, bytes in all
_CHUNK = 1 << 18
_ABANDONED_SECONDS = 120  # a live download writes far more often
_HTTP_OK, _HTTP_PARTIAL = 200, 206


def download(
    source: Source, folder: Path, *, timeout: float = 30.0, progress: Progress | None = None
) -> Path:
    """Fetch one file into `folder`, unless a file of that name is there already.

    Args:
        source: file name, addresses to try in order, checksum and size.
        folder: made if it does not exist.
        timeout: seconds without a byte after which an address is given up.
        progress: called with (file name, bytes there, bytes in all) as bytes arrive.

    Returns:
        The path of the whole, checked file.

    Raises:
        MissingDataError: if no address answers; the message gives each one's reason.
        DataError: if what arrived is not what was published, or cannot be written.
    """
    target = folder / source.file
    if target.exists():
        return target
    part = _adopt_part(target)
    reasons: list[str] = []
    damaged = False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for url in source.urls:
            try:
                _fetch(url, part, source, timeout, progress)
            except urllib.error.URLError as error:
                reasons.append(f"{url}: {error.reason}")
                continue
            digest = md5_of(part)
            if digest == source.md5:
                part.replace(target)
                _sync_folder(folder)
                return target
            part.unlink()  # nothing of it can be trusted, so nothing is resumed
            damaged = True
            reasons.append(f"{url}: md5 {digest} instead of {source.md5}")
    except OSError as error:
        raise DataError(
            f"cannot write {part}: {error}; {source.size / 1e6:.0f} MB are needed: make space, or set "
            "LTHSWEEP_DATA to a folder you may write"
        ) from None
    kind = DataError if damaged else MissingDataError
    raise kind(
        f"could not download {source.file} ({'; '.join(reasons)}); try again, or put the file in "
        f"{folder} by hand"
    )


def md5_of(path: Path) -> str:
    """The md5 of a file, in hex: the checksum that the hosts publish, against damage rather than malice."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _adopt_part(target: Path) -> Path:
    """A part name of our own; it already holds bytes if another process left some behind."""
    own = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    for left in sorted(target.parent.glob(f"{target.name}.*.part")):
        try:
            if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
                left.rename(own)
                break
        except FileNotFoundError:  # somebody else was first
            continue
    return own


def _fetch(url: str, part: Path, source: Source, timeout: float, progress: Progress | None) -> None:
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise urllib.error.URLError("only http and https are fetched")
    there = part.stat().st_size if part.exists() else 0
    if there >= source.size:  # an earlier attempt got it all; the checksum decides
        return
    headers = {"User-Agent": "lthsweep"} | ({"Range": f"bytes={there}-"} if there else {})
    request = urllib.request.Request(url, headers=headers)
    with _answering(lambda: urllib.request.urlopen(request, timeout=timeout)) as answer:
        resumed = answer.status == _HTTP_PARTIAL
        if answer.status not in (_HTTP_OK, _HTTP_PARTIAL):
            raise urllib.error.URLError(f"answered {answer.status}")
        there = there if resumed else 0  # a host that ignores Range sends everything again
        with part.open("ab" if resumed else "wb") as file:
            _copy(answer, file, there, source, progress)
            file.flush()
            os.fsync(file.fileno())


def _copy(answer: BinaryIO, file: BinaryIO, there: int, source: Source, progress: Progress | None) -> None:
    while chunk := _answering(lambda: answer.read(_CHUNK)):
        there += len(chunk)
        if there > source.size:
            file.truncate(0)
            raise urllib.error.URLError(f"sends more than the {source.size:,} bytes that were published")
        file.write(chunk)
        if progress is not None:
            progress(source.file, there, source.size)
    if there < source.size:
        raise urllib.error.URLError(f"ended after {there:,} of {source.size:,} bytes")


def _answering(ask: Callable[[], Any]) -> Any:
    """Give every failure of the network one type, so that what is left over is a failure of the disk."""
    try:
        return ask()
    except urllib.error.URLError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise urllib.error.URLError(str(error) or type(error).__name__) from None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
