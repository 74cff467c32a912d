"""Downloading published files: checked, resumed after an interruption, and complete under their final name.

pooch fetches and checks. The bytes go to `FILE.<token>.part` next to the final name, which appears by an atomic rename
once the checksum is right. A part whose process died is taken over by a rename, so that exactly one process continues
it.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from lthsweep.data.entry import PublishedFile
from lthsweep.data.packed import sync_folder
from lthsweep.errors import DataError, MissingDataError

__all__ = ["DownloadCallback", "download", "md5_of"]

DownloadCallback = Callable[[str, int, int], None]
"""Called with (file name, bytes so far, bytes in total)."""

_CHUNK = 1 << 16
_ABANDONED_SECONDS = 120  # a live download writes far more often


class _TransferError(Exception):
    """One address failed."""


def download(
    published: PublishedFile,
    folder: Path,
    *,
    timeout: float = 30.0,
    progress: DownloadCallback | None = None,
) -> Path:
    """Download one file into `folder`, unless a file of that name exists.

    Args:
        published: file name, addresses to try in order, checksum and size.
        folder: created if missing.
        timeout: seconds without a byte after which an address is given up.
        progress: called as bytes arrive.

    Returns:
        The path of the complete, checked file.

    Raises:
        MissingDataError: if no address answers; the message gives the reason of each.
        DataError: if the content is not the published one, or cannot be written.
    """
    target = folder / published.file
    if target.exists():
        return target
    reasons: list[str] = []
    damaged = False
    part = _adopt_part(target)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for url in published.urls:
            try:
                _fetch(url, part, published, timeout, progress)
            except _TransferError as error:
                reasons.append(f"{url}: {error}")
                continue
            digest = md5_of(part)
            if digest == published.md5:
                part.replace(target)
                sync_folder(folder)
                return target
            part.unlink()  # wrong content cannot be resumed
            damaged = True
            reasons.append(f"{url}: md5 {digest} instead of {published.md5}")
    except OSError as error:
        raise DataError(
            f"cannot write {part}: {error}; {published.size / 1e6:.0f} MB are needed: free space, or set "
            "LTHSWEEP_DATA to a folder with write permission"
        ) from None
    failure = DataError if damaged else MissingDataError
    raise failure(
        f"{published.file} could not be downloaded: {'; '.join(reasons)}. Get it by hand and put it in {folder}"
    )


def md5_of(path: Path) -> str:
    """Return the md5 of a file in hex. Hosts publish it to detect damage; it does not protect against malice."""
    import pooch

    return str(pooch.file_hash(str(path), alg="md5"))


def _adopt_part(target: Path) -> Path:
    """Return a part name of this process; it already has bytes if another process left some behind."""
    own = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    for left in sorted(target.parent.glob(f"{target.name}.*.part")):
        try:
            if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
                left.rename(own)
                break
        except FileNotFoundError:  # another process was first
            continue
    return own


def _fetch(
    url: str, part: Path, published: PublishedFile, timeout: float, progress: DownloadCallback | None
) -> None:
    """Bring the missing bytes into `part`, from its end if the host can send a range."""
    import pooch
    import requests  # the HTTP library under pooch

    if not url.startswith(("http://", "https://")):
        raise _TransferError("only http and https are allowed")
    start = part.stat().st_size if part.exists() else 0
    if start >= published.size:  # complete since an earlier attempt; the checksum decides
        return

    def restart_if_whole(response: requests.Response, **_: object) -> None:
        if response.status_code == requests.codes.ok:  # the host ignores the range and sends all bytes
            file.seek(0)
            file.truncate()

    headers = {"User-Agent": "lthsweep", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    fetch = pooch.HTTPDownloader(
        chunk_size=_CHUNK, timeout=timeout, headers=headers, hooks={"response": restart_if_whole}
    )
    with part.open("ab") as file:
        try:
            fetch(url, _Limited(file, published, progress), None)
        except (
            requests.exceptions.ChunkedEncodingError
        ):  # the connection broke; the size check below reports it
            pass
        except requests.RequestException as error:
            raise _TransferError(str(error)) from None
        finally:
            file.flush()
            os.fsync(file.fileno())
        if file.tell() < published.size:
            raise _TransferError(f"ended after {file.tell():,} of {published.size:,} bytes")


class _Limited:
    """A file for writing that reports progress and stops at the published size."""

    def __init__(self, file: BinaryIO, published: PublishedFile, progress: DownloadCallback | None) -> None:
        self._file = file
        self._published = published
        self._progress = progress

    def write(self, chunk: bytes) -> int:
        there = self._file.tell() + len(chunk)
        if there > self._published.size:
            self._file.truncate(0)  # nothing of it can be resumed
            raise _TransferError(f"sends more than the published {self._published.size:,} bytes")
        if self._progress is not None:
            self._progress(self._published.file, there, self._published.size)
        return self._file.write(chunk)

    def flush(self) -> None:
        self._file.flush()
