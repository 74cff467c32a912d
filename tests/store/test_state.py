"""Names of files, failures and heartbeats: small things that must not surprise."""

from __future__ import annotations

import math
import stat

import pytest

from lthsweep.errors import StoreError
from lthsweep.store.failures import Failure, clear_failure, read_failures, record_failure
from lthsweep.store.heartbeats import Heartbeat, read_heartbeats, remove_heartbeat, write_heartbeat
from lthsweep.store.layout import SweepDir
from tests.store.factory import names


@pytest.fixture
def sweep(tmp_path):
    return SweepDir(tmp_path / "sweep").create()


def test_a_sweep_on_disk_looks_as_documented():
    """Users and scripts find files by these names; moving one is a breaking change."""
    sweep = SweepDir("results/s")  # type: ignore[arg-type]
    found = {
        name: str(getattr(sweep, name).relative_to(sweep.path))
        for name in (
            "sweep_toml",
            "records",
            "weights",
            "state",
            "logs",
            "table",
            "report",
            "figures",
            "timings",
        )
    }

    assert found == {
        "sweep_toml": "sweep.toml",
        "records": "records",
        "weights": "weights",
        "state": "state",
        "logs": "logs",
        "table": "table.h5",
        "report": "report.html",
        "figures": "figures",
        "timings": "state/timings.json",
    }
    assert sweep.record("ab").parts[-2:] == ("records", "ab.h5")
    assert sweep.snapshot("ab", 123).parts[-3:] == ("weights", "ab", "step-00000123.safetensors")
    assert sweep.final("ab").parts[-3:] == ("weights", "ab", "final.safetensors")
    assert sweep.checkpoint("ab").parts[-3:] == ("state", "checkpoints", "ab.safetensors")
    assert sweep.claim("ab").parts[-3:] == ("state", "claims", "ab.json")
    assert sweep.failure("ab").parts[-3:] == ("state", "failures", "ab.json")
    assert sweep.worker("w1").parts[-3:] == ("state", "workers", "w1.json")
    assert sweep.log("ab").parts[-2:] == ("logs", "ab.log")


def test_only_the_owner_reads_state(sweep):
    """Other users with write access could mislead the workers."""
    assert stat.S_IMODE(sweep.state.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".hidden", "-rf", "a\0b", "a\n", "x" * 129, "ä"])
def test_a_name_cannot_leave_its_folder(sweep, name):
    """Names come from files on disk, and some become paths."""
    with pytest.raises(StoreError, match="cannot name a file"):
        sweep.record(name)
    with pytest.raises(StoreError, match="cannot name a file"):
        sweep.weights_file("ab", name)


def test_only_records_are_listed(sweep):
    """Temporary files of active writers are in the same folder."""
    for name in ("b.h5", "a.h5", ".c.h5.0011.tmp", ".d.h5", "notes.txt"):
        (sweep.records / name).touch()

    assert sweep.record_keys() == ["a", "b"]
    assert SweepDir(sweep.path / "missing").record_keys() == []


def test_an_impossible_directory_is_a_clear_error(tmp_path):
    """A component of the path can be a file."""
    (tmp_path / "file").touch()

    with pytest.raises(StoreError, match="--out"):
        SweepDir(tmp_path / "file" / "sweep").create()


def test_a_folder_is_a_sweep_only_with_content(tmp_path):
    """`lthsweep status` on a wrong folder should say so."""
    assert not SweepDir(tmp_path).exists()
    assert SweepDir(tmp_path).create().exists()


def test_failures_are_kept_until_cleared(sweep):
    """The last failure of a run is what `status` shows."""
    first = Failure(
        "killed by signal 9", kind="killed", host="h", attempt=1, log="l", time=12.5, infrastructure=True
    )
    second = Failure("out of memory", kind="MemoryError", attempt=2)
    record_failure(sweep, "b", second)
    record_failure(sweep, "a", second)
    record_failure(sweep, "a", first)

    assert read_failures(sweep) == {"a": first, "b": second}
    assert list(read_failures(sweep)) == ["a", "b"]
    clear_failure(sweep, "a")
    clear_failure(sweep, "a")
    assert read_failures(sweep) == {"b": second}


def test_unreadable_failures_are_still_failures(sweep):
    """The run did fail; `status` must not."""
    sweep.failure("a").write_text("{")
    (sweep.failures / ".a.json.00.tmp").touch()

    found = read_failures(sweep)

    assert list(found) == ["a"]
    assert found["a"].kind == "unreadable"
    assert read_failures(SweepDir(sweep.path / "missing")) == {}


def test_heartbeats_come_back(sweep):
    """`status --watch` shows what each worker does."""
    beat = Heartbeat(
        "w1",
        host="h",
        pid=3,
        key="ab",
        phase="train",
        epoch=1.5,
        epochs=8,
        val_accuracy=0.5,
        images_per_second=640.0,
        started=1.0,
        time=2.0,
        others={"cd": 0.25},
    )
    write_heartbeat(sweep, beat)
    write_heartbeat(sweep, Heartbeat("w0"))

    idle, busy = read_heartbeats(sweep)

    assert busy == beat
    assert [(one.key, one.val_accuracy, one.epoch) for one in busy.of_each()] == [
        ("ab", 0.5, 1.5),
        ("cd", 0.25, 1.5),
    ]
    assert idle.worker == "w0" and math.isnan(idle.val_accuracy)
    remove_heartbeat(sweep, "w1")
    remove_heartbeat(sweep, "w1")
    assert [found.worker for found in read_heartbeats(sweep)] == ["w0"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"worker":"../x"}'])
def test_unreadable_heartbeats_are_left_out(sweep, text):
    """It is advice only."""
    sweep.worker("w").write_text(text)

    assert read_heartbeats(sweep) == []
    assert read_heartbeats(SweepDir(sweep.path / "missing")) == []


def test_a_heartbeat_cannot_name_a_path(sweep):
    """Readers make paths of its keys."""
    write_heartbeat(sweep, Heartbeat("w", key="../../etc"))
    write_heartbeat(sweep, Heartbeat("v", others={"../../etc": 0.5}))

    assert read_heartbeats(sweep) == []
    assert names(sweep.workers) == ["v.json", "w.json"]
