"""Images in zips and tars, whole and hostile."""

from __future__ import annotations

import gzip
import io
import tarfile
import warnings
import zipfile
from pathlib import Path

from tests.data.corpus.case import Case, Files, Link, Used, refused, tar_bytes, write_zip
from tests.data.corpus.image_files import (
    CAT_DOG,
    FULL,
    POOLED,
    counted,
    folder,
    image,
    pairs,
    under,
)


def write_unmarked(path: Path, files: Files) -> None:
    """A zip as macOS makes it: names in UTF-8 without the flag for it."""
    write_zip(path, files)
    content = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\1\2", 9), (b"PK\3\4", 7)):
        start = content.find(mark)
        while start >= 0:
            content[start + flags] &= ~8
            start = content.find(mark, start + 4)
    path.write_bytes(content)


def write_twice(path: Path, files: Files) -> None:
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns
        for _ in range(2):
            for name, content in files.items():
                assert isinstance(content, bytes)
                archive.writestr(name, content)


def write_bomb_zip(path: Path, files: Files) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/0.png", bytes((64 << 20) + 1))


def write_bomb_tar(path: Path, files: Files) -> None:
    """A member that declares a terabyte; the rest is never reached."""
    info = tarfile.TarInfo("cat/0.png")
    info.size = 1 << 40
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


def write_cut_tar(path: Path, files: Files) -> None:
    """A tar that was cut between two members: every member is whole."""
    whole = tar_bytes(files)
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        last = archive.getmembers()[-1]
    path.write_bytes(whole[: last.offset])


def write_bytes(path: Path, files: Files) -> None:
    (content,) = files.values()
    assert isinstance(content, bytes)
    path.write_bytes(content)


ARCHIVES = (
    Case("zip", pairs(), FULL, "data.zip"),
    Case("zip with folders listed", {"train": None, "train/cat": None, **pairs()}, FULL, "data.zip"),
    Case("tar", CAT_DOG, POOLED, "data.tar"),
    Case(
        "tar.gz with ./ before the names",
        {f"./{name}": content for name, content in pairs().items()},
        FULL,
        "data.tar.gz",
    ),
    Case("tgz", under("pets", pairs()), FULL, "data.tgz"),
    Case("tar.bz2", CAT_DOG, POOLED, "data.tar.bz2"),
    Case("tar.xz", pairs(), FULL, "data.tar.xz"),
    Case(
        "PowerShell's zip",
        {name.replace("/", "\\"): content for name, content in under("pets", pairs()).items()},
        FULL,
        "data.zip",
    ),
    Case(
        "a zip of macOS",
        {**pairs(), "__MACOSX/train/cat/._001.png": b"\0\5\x16\7"},
        counted({"hidden files": 1}, FULL),
        "data.zip",
    ),
    Case(
        "names in UTF-8 without its flag",
        {**folder("été", 1, 2), **folder("日本", 3, 4)},
        Used(pool={"été": [1, 2], "日本": [3, 4]}),
        "data.zip",
        write_unmarked,
    ),
    Case(
        "links in a tar",
        {**CAT_DOG, "cat/9.png": Link("1.png")},
        counted({"links in the archive": 1}),
        "data.tar",
    ),
    Case(
        "links in a zip",
        {**CAT_DOG, "cat/9.png": Link("1.png")},
        counted({"links in the archive": 1}),
        "data.zip",
    ),
    Case("a zip that leaves its folder", {**CAT_DOG, "../up.png": image(1)}, refused("outside"), "data.zip"),
    Case(
        "a tar that leaves its folder",
        {**CAT_DOG, "cat/../../up.png": image(1)},
        refused("outside"),
        "data.tar",
    ),
    Case(
        "an absolute name in a tar",
        {"/etc/cat/1.png": image(1)},
        refused("/etc/cat/1.png", "outside"),
        "data.tar",
    ),
    Case("a bomb in a zip", {}, refused("cat/0.png", "unpacks to"), "data.zip", write_bomb_zip),
    Case("a bomb in a tar", {}, refused("cat/0.png", "unpacks to"), "data.tar", write_bomb_tar),
    Case(
        "a tar that was cut between members",
        CAT_DOG,
        refused("cut short", "again"),
        "data.tar",
        write_cut_tar,
    ),
    Case(
        "a tar.gz that was cut",
        {"x": gzip.compress(tar_bytes(CAT_DOG))[:-50]},
        refused("not a readable tar"),
        "data.tar.gz",
        write_bytes,
    ),
    Case(
        "HTML as a zip",
        {"x": b"<html>404</html>"},
        refused("neither a folder nor a readable zip"),
        "data.zip",
        write_bytes,
    ),
    Case(
        "HTML as a tar.gz",
        {"x": b"<html>404</html>"},
        refused("not a readable tar"),
        "data.tar.gz",
        write_bytes,
    ),
    Case("another archive", {"x": b"Rar!\x1a\7"}, refused("zip or tar"), "data.rar", write_bytes),
    Case("a name twice in a zip", CAT_DOG, refused("two members", "cat/001.png"), "data.zip", write_twice),
    Case(
        "a zip of zips",
        {"train.zip": b"PK", "test.zip": b"PK"},
        refused("no images", "2 with the ending .zip"),
        "data.zip",
    ),
)
