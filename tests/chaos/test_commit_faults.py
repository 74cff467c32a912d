"""A commit that is killed at any of its system calls, or gets a disk error from any of them."""

from __future__ import annotations

import errno
import os

import pytest

from lthsweep.store import commit
from lthsweep.store.claims import take
from lthsweep.store.commit import commit_new, is_temporary, replace, sweep_temps
from lthsweep.store.layout import SweepDir
from lthsweep.store.owners import this_process
from tests.chaos.commit_victim import KEY, NEW
from tests.chaos.tracing import calls_of, need_tracing, run_victim
from tests.store.factory import names

pytestmark = pytest.mark.chaos

OLD = b"old" * 1000
CHANGING = (
    "openat",
    "write",
    "close",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
)


def content(path):
    """The contents that a reader finds; None if there is no file."""
    return path.read_bytes() if path.exists() else None


def published(folder):
    """Names that are not writers' leftovers."""
    return [name for name in names(folder) if not is_temporary(name)]


def refuse(source, target):
    """`os.link` where there are no hard links."""
    raise PermissionError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize(
    ("verb", "must"),
    [
        ("commit_new", ["openat", "write", "fsync", "close", "link", "unlink", "openat", "fsync", "close"]),
        (
            "commit_without_links",
            ["openat", "write", "fsync", "close", "openat", "rename", "unlink", "fsync"],
        ),
        ("replace", ["openat", "write", "fsync", "close", "rename", "openat", "fsync", "close"]),
    ],
)
def test_killed_commits_leave_old_new_or_no_file(tmp_path, monkeypatch, verb, must):
    """Preemption and the out-of-memory killer do not wait for a good moment."""
    need_tracing()
    before = OLD if verb == "replace" else None
    (tmp_path / "trial").mkdir()
    calls = calls_of(verb, tmp_path / "trial")
    seen = iter(name.removesuffix("at2").removesuffix("at") for name, _ in calls)
    assert all(name.removesuffix("at") in seen for name in must), calls
    states = []
    if verb == "commit_without_links":
        monkeypatch.setattr(os, "link", refuse)
        monkeypatch.setattr(commit, "_PATIENCE_SECONDS", 0.0)

    for name, nth in calls:
        folder = tmp_path / f"{name}-{nth}"
        folder.mkdir()
        (folder / "neighbor").write_bytes(OLD)
        if before is not None:
            (folder / "file").write_bytes(before)

        code, _ = run_victim(verb, folder, f"{name}:signal=KILL:when={nth}")

        found = content(folder / "file")
        assert found in (before, NEW), (name, nth)
        # The allocator's calls (mmap, munmap, brk) come in any order, or not at all: their order is meaningless.
        if name in (*CHANGING, "fsync"):
            assert code == -9, (name, nth)
            states.append(found == NEW)
        # The next writer can work, and `doctor` can clean up.
        if verb == "replace":
            replace(folder / "file", b"next")
        else:
            assert commit_new(folder / "file", b"next") is (found is None)
        sweep_temps(folder, -1e9)
        assert names(folder) == ["file", "neighbor"]
        assert content(folder / "neighbor") == OLD
        assert content(folder / "file") == (NEW if verb != "replace" and found == NEW else b"next")

    assert states == sorted(states)  # once there, it stays
    assert set(states) == {False, True}


def test_a_killed_claimant_leaves_the_run_claimable(tmp_path):
    """A partial claim of a killed worker must not block the run."""
    need_tracing()
    trial = SweepDir(tmp_path / "trial").create()
    for name, nth in calls_of("claim", trial.path):
        if name not in CHANGING:
            continue
        sweep = SweepDir(tmp_path / f"{name}-{nth}").create()

        code, _ = run_victim("claim", sweep.path, f"{name}:signal=KILL:when={nth}")

        assert code == -9
        heir = this_process()
        assert take(sweep, KEY, heir, 60.0), (name, nth)
        assert not take(sweep, KEY, this_process(), 60.0), (name, nth)


@pytest.mark.parametrize("verb", ["commit_new", "replace"])
@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ("openat:error=ENOSPC:when=1", "MB needed"),
        ("openat:error=EDQUOT:when=1", "MB needed"),
        ("openat:error=EACCES:when=1", "Permission denied"),
        ("write:error=ENOSPC:when=1", "MB needed"),
        ("write:error=EDQUOT:when=1", "MB needed"),
        ("write:error=EIO:when=1", "Input/output error"),
        ("fsync:error=EIO:when=1", "Input/output error"),
        ("fsync:error=ENOSPC:when=1", "MB needed"),
        ("close:error=EIO:when=1", "Input/output error"),
        ("/^(link|rename):error=EIO:when=1", "Input/output error"),
        ("/^(link|rename):error=ENOSPC:when=1", "MB needed"),
    ],
)
def test_a_disk_error_before_the_link_changes_nothing(tmp_path, verb, fault, word):
    """The old file stays, the temporary one goes, and it works once the disk does."""
    need_tracing()
    path = tmp_path / "file"
    before = None if verb == "commit_new" else OLD
    if before is not None:
        path.write_bytes(before)

    code, message = run_victim(verb, tmp_path, fault)

    assert code == 3
    assert word in message and str(path) in message
    assert content(path) == before
    assert names(tmp_path) == ([] if before is None else ["file"])
    assert run_victim(verb, tmp_path, "fsync:delay_enter=0") == (0, "")
    assert content(path) == NEW


@pytest.mark.parametrize("verb", ["commit_new", "replace"])
@pytest.mark.parametrize("fault", ["fsync:error=EIO:when=2", "openat:error=EMFILE:when=2"])
def test_a_file_that_may_not_last_is_reported(tmp_path, verb, fault):
    """The file is there and whole, but the folder was not synced: the caller must not believe it safe."""
    need_tracing()

    code, message = run_victim(verb, tmp_path, fault)

    assert code == 3
    assert "cannot write" in message
    assert content(tmp_path / "file") == NEW
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("number", ["EPERM", "EOPNOTSUPP"])
def test_refused_links_are_done_without(tmp_path, number):
    """Not every file system has hard links."""
    need_tracing()

    assert run_victim("commit_new", tmp_path, f"/^link:error={number}") == (0, "")
    assert content(tmp_path / "file") == NEW
    assert names(tmp_path) == ["file"]


def test_unremovable_temporary_files_are_left(tmp_path):
    """The record exists; a leftover file is not a failure."""
    need_tracing()

    assert run_victim("commit_new", tmp_path, "/^unlink:error=EIO") == (0, "")
    assert content(tmp_path / "file") == NEW
    assert published(tmp_path) == ["file"]
    os.utime(next(path for path in tmp_path.iterdir() if is_temporary(path.name)), (0, 0))
    sweep_temps(tmp_path, 60)
    assert names(tmp_path) == ["file"]
