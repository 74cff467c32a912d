"""A file appears whole, once, or not at all; errors have a remedy."""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
from pathlib import Path

import pytest

from lthsweep.errors import StoreError
from lthsweep.store import commit
from lthsweep.store.commit import commit_new, is_temporary, read_whole, replace, sweep_temps
from tests.store.factory import names

ROUNDS = 100
RACERS = 8


def refuse(number):
    """A system call that fails."""

    def call(*arguments, **options):
        raise OSError(number, os.strerror(number))

    return call


def race(folder, number, gate):
    """One of the racers: link in every round, say which it won."""
    won = []
    for turn in range(ROUNDS):
        gate.wait()
        if commit_new(Path(folder) / f"{turn}.h5", bytes([number]) * 1000, durable=False):
            won.append(turn)
    return won


def race_in_process(folder, number, gate, results):
    results.put((number, race(folder, number, gate)))


@pytest.mark.slow
def test_exactly_one_of_eight_writers_wins(tmp_path):
    """Two workers can finish one run; one record stays, and each worker learns whose it is."""
    context = multiprocessing.get_context("spawn")
    gate, results = context.Barrier(RACERS, timeout=300), context.Queue()
    racers = [
        context.Process(target=race_in_process, args=(str(tmp_path), i, gate, results), daemon=True)
        for i in range(RACERS)
    ]
    for racer in racers:
        racer.start()
    won = dict(results.get(timeout=300) for _ in racers)
    for racer in racers:
        racer.join()

    assert sorted(turn for turns in won.values() for turn in turns) == list(range(ROUNDS))
    for number, turns in won.items():
        for turn in turns:
            assert (tmp_path / f"{turn}.h5").read_bytes() == bytes([number]) * 1000
    assert not [name for name in names(tmp_path) if is_temporary(name)]


def test_the_first_file_stays(tmp_path):
    """A record is never overwritten, not even by an equal one."""
    path = tmp_path / "r.h5"

    assert commit_new(path, b"first") is True
    assert commit_new(path, b"second") is False
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["r.h5"]


def test_replace_replaces(tmp_path):
    """Tables and checkpoints have one current version."""
    path = tmp_path / "t.h5"

    replace(path, b"old")
    replace(path, b"new")

    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["t.h5"]


def test_data_is_synced_before_its_name(tmp_path, monkeypatch):
    """After a loss of power a name without data would be a record of zeros."""
    calls = []
    for name in ("fsync", "link", "unlink"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *a, name=name, real=real, **k: (calls.append(name), real(*a, **k))[1]
        )

    commit_new(tmp_path / "r.h5", b"x")

    assert calls == ["fsync", "link", "unlink", "fsync"]


def test_without_durability_nothing_is_synced(tmp_path, monkeypatch):
    """Heartbeats are written often and worth nothing after a crash."""
    monkeypatch.setattr(os, "fsync", refuse(errno.EIO))

    assert commit_new(tmp_path / "r.h5", b"x", durable=False)
    replace(tmp_path / "r.h5", b"y", durable=False)


def test_a_failed_fsync_is_not_tried_again(tmp_path, monkeypatch):
    """Linux marks the pages clean after a failed fsync: a second fsync wrongly succeeds."""
    calls = []

    def fail(handle):
        calls.append(handle)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(StoreError, match="Input/output error"):
        commit_new(tmp_path / "r.h5", b"x")
    assert len(calls) == 1
    assert names(tmp_path) == []


def test_a_successful_link_with_eexist_is_ours(tmp_path, monkeypatch):
    """An NFS client that repeats a request whose reply was lost gets EEXIST from its own success."""
    real = os.link

    def link(source, target):
        real(source, target)
        raise FileExistsError(errno.EEXIST, "File exists")

    monkeypatch.setattr(os, "link", link)

    assert commit_new(tmp_path / "r.h5", b"ours") is True
    assert (tmp_path / "r.h5").read_bytes() == b"ours"


@pytest.mark.parametrize(
    "number", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV, errno.EACCES, 524]
)
def test_without_hard_links_the_first_file_stays_too(tmp_path, monkeypatch, number):
    """FAT, some FUSE and some network file systems have no hard links."""
    monkeypatch.setattr(os, "link", refuse(number))
    path = tmp_path / "r.h5"

    assert commit_new(path, b"first") is True
    assert commit_new(path, b"second") is False
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["r.h5"]


def test_without_hard_links_killed_writers_do_not_block(tmp_path, monkeypatch):
    """Its exclusive file stays behind; after a moment's patience the next writer buries it."""
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    monkeypatch.setattr(commit, "_PATIENCE_SECONDS", 0.0)
    (tmp_path / ".r.h5.publishing").touch()

    assert commit_new(tmp_path / "r.h5", b"x") is True
    assert names(tmp_path) == ["r.h5"]


@pytest.mark.parametrize("write", [commit_new, replace])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("call", ["write", "fsync", "open"])
def test_a_full_disk_error_has_path_and_remedy(tmp_path, monkeypatch, write, number, call):
    """On a cluster the quota is the usual death; the message is all that its user sees."""
    path = tmp_path / "r.h5"
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse(number))
        with pytest.raises(StoreError, match=rf"{re.escape(str(path))}: 2\.500 MB needed.*free space.*again"):
            write(path, b"x" * 2_500_000)
    assert names(tmp_path) == []


def test_a_missing_folder_is_a_clear_error(tmp_path):
    """The sweep was deleted while it ran."""
    with pytest.raises(StoreError, match="No such file"):
        commit_new(tmp_path / "gone" / "r.h5", b"x")


def test_a_short_write_continues(tmp_path, monkeypatch):
    """`write` can write a part of the data; the rest must follow."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:7]))

    commit_new(tmp_path / "r.h5", bytes(range(100)))

    assert (tmp_path / "r.h5").read_bytes() == bytes(range(100))


def test_only_old_temporary_files_are_swept(tmp_path):
    """A recent one can belong to a running writer; other files must not be removed."""
    for name, age in (
        (".a.h5.0123.tmp", 100),
        (".b.h5.publishing", 100),
        (".c.h5.0123.tmp", 5),
        ("d.tmp", 100),
        (".e", 100),
    ):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))

    removed = sweep_temps(tmp_path, 50, now=1000.0)

    assert [path.name for path in removed] == [".a.h5.0123.tmp", ".b.h5.publishing"]
    assert names(tmp_path) == [".c.h5.0123.tmp", ".e", "d.tmp"]
    assert sweep_temps(tmp_path / "missing", 0) == []


def test_a_stale_file_handle_is_looked_up_again(tmp_path, monkeypatch):
    """NFS answers ESTALE once when a file is replaced while it is opened."""
    path = tmp_path / "t.h5"
    path.write_bytes(b"new")
    answers = [OSError(errno.ESTALE, "Stale file handle")]
    real = Path.read_bytes
    monkeypatch.setattr(
        Path, "read_bytes", lambda self: real(self) if not answers else (_ for _ in ()).throw(answers.pop())
    )

    assert read_whole(path) == b"new"


def test_an_unreadable_file_is_a_clear_error(tmp_path):
    """A folder in place of a file, here."""
    with pytest.raises(StoreError, match="cannot read"):
        read_whole(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_whole(tmp_path / "missing")
