"""Event files, read back with TensorBoard's own reader."""

from __future__ import annotations

import subprocess
import sys

import pytest
from report_frames import sweep

from lthsweep.errors import QueryError
from lthsweep.report.tensorboard import PER_EPOCH, write_tensorboard
from tests.launch.sweeps import lthsweep

accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

_SMALL = {"sparsities": (0.5, 0.9), "rewinds": (0, 2), "seeds": 2, "epochs": 3}


def scalars(folder):
    """Tag → [(step, value, wall time), …]."""
    events = accumulators.EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(e.step, e.value, e.wall_time) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


def test_every_run_with_a_curve_has_a_folder_that_holds_the_curve(tmp_path):
    report = sweep(**_SMALL, further={"model.init": ["a", "b"]})

    folders = write_tensorboard(report, tmp_path / "events")

    by_key = dict(iter(report.curves.groupby("key")))
    assert len(folders) == len(by_key) == len({folder.name for folder in folders})
    for folder, key in zip(folders, [key for key in report.runs["key"] if key in by_key], strict=True):
        found, rows = scalars(folder), by_key[key]
        for tag in ("accuracy/validation", "loss/train", "learning_rate"):
            assert [step for step, *_ in found[tag]] == rows["epoch"].tolist()
            assert [value for _, value, _ in found[tag]] == pytest.approx(
                rows[PER_EPOCH[tag]].tolist(), rel=1e-6
            )
        assert [time for *_, time in found["seconds"]] == pytest.approx(rows["seconds"].cumsum().tolist())
        run = report.runs[report.runs["key"] == key].iloc[0]
        assert found["accuracy/test"][0][:2] == (3, pytest.approx(run["test_accuracy"], rel=1e-6))


def test_a_folder_says_what_its_run_is(tmp_path):
    report = sweep(**_SMALL, further={"model.init": ["a/b"]})

    names = [folder.name for folder in write_tensorboard(report, tmp_path / "events")]

    for told in ("dense-init=a_b-seed=0-", "ticket-sparsity=0.9-rewind_epoch=2-init=a_b-seed=1-"):
        assert sum(name.startswith(told) for name in names) == 1


def test_runs_without_a_result_have_no_folder(tmp_path):
    report = sweep(**_SMALL, missing=[(s, k) for s in (0.5, 0.9) for k in (0, 2)])

    folders = write_tensorboard(report, tmp_path / "events")

    assert [folder.name.split("-")[0] for folder in folders] == ["dense", "dense"]


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    """TensorBoard reads all event files of a folder as one run, so each point would be there twice."""
    report = sweep(**_SMALL)
    write_tensorboard(report, tmp_path / "events")

    with pytest.raises(QueryError, match="not empty"):
        write_tensorboard(report, tmp_path / "events")


def test_without_the_package_the_message_names_the_extra(tmp_path):
    """In a process of its own, where the package cannot be imported."""
    program = (
        "import sys; sys.modules['tensorboard'] = None\n"
        "import pandas as pd; from pathlib import Path\n"
        "from lthsweep.report.content import ReportInput; from lthsweep.report.tensorboard import write_tensorboard\n"
        "try: write_tensorboard(ReportInput('x', 0.0, 0.95, pd.DataFrame()), Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )

    said = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "events")], capture_output=True, text=True, check=True
    ).stdout

    assert said.startswith("QueryError")
    assert "pip install 'lthsweep[tensorboard]'" in said
    assert not (tmp_path / "events").exists()


def test_a_real_sweep_is_exported_on_request_alone(finished, cache, tmp_path):
    """Through the command line, without torch; the report itself writes no event files."""
    ended = lthsweep("report", finished.path, "--tensorboard", tmp_path / "events", cache=cache)

    assert ended.returncode == 0, ended.stderr
    assert f"tensorboard --logdir {tmp_path / 'events'}" in ended.stdout
    folders = sorted((tmp_path / "events").iterdir())
    assert len(folders) == len(finished.record_keys()) == 5
    found = scalars(folders[0])
    assert folders[0].name.startswith("dense-")
    assert [step for step, *_ in found["accuracy/validation"]] == [1, 2]
    assert set(found) >= {"accuracy/train", "accuracy/test", "loss/validation", "learning_rate"}
