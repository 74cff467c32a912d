"""Fixtures of the fault tests: the undisturbed sweep, disturbed sweeps, and the table that the tests print."""

from __future__ import annotations

import json

import pytest

from lthsweep.plan.estimate import recipe_id
from lthsweep.store.layout import SweepDir
from tests.launch.sweeps import lthsweep as locally
from tests.slurm.faults.interrupted import EPOCH_SECONDS, ODOMETER, SWEEP, Interrupted
from tests.slurm.sweeps import OnSlurm, assert_same_science

FIELDS = ("fault", "outcome", "interruptions", "repeated")
DEFAULTS = {
    "size": 8,
    "epochs": 10,
    "grid": "sparsity = [0.8]",
    "seeds": "[0]",
    "time": "10",
    "target_minutes": 1,
    "floor_minutes": 0.5,
    "attempts": 1,
    "slurm": "",
}


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, cache):
    """The sweep with six seeds, trained on this machine without SLURM: the expected results of all others."""
    folder = tmp_path_factory.mktemp("undisturbed")
    file = folder / "sweep.toml"
    file.write_text(SWEEP.format(**DEFAULTS | {"seeds": "[0, 1, 2, 3, 4, 5]"}))
    ended = locally("run", file, "--out", folder / "sweep", cache=cache)
    assert ended.returncode == 0, ended.stderr
    return OnSlurm({}, file, SweepDir(folder / "sweep"))


@pytest.fixture
def make(tmp_path, cluster, cache):
    """Make a sweep on the cluster with known epoch times, so that dense run and ticket share a job."""

    def build(*, on=None, where=None, timed=True, **changes):
        place = where or tmp_path
        number = sum(path.name.startswith("sweep") for path in place.iterdir())
        file = tmp_path / f"sweep{number}.toml"
        file.write_text(SWEEP.format(**DEFAULTS | changes))
        odometer = tmp_path / f"odometer{number}"
        odometer.mkdir()
        sweep = SweepDir(place / f"sweep{number}").create()
        environment = {
            **(on or cluster).env,
            "LTHSWEEP_CACHE": str(cache),
            "COLUMNS": "150",
            "LTH_ODOMETER": str(odometer),
            "PYTHONPATH": str(ODOMETER),
        }
        ours = Interrupted(environment, file, sweep, on or cluster, odometer)
        if timed:
            known = {recipe_id(run.recipe): EPOCH_SECONDS for run in ours.plan.dense}
            sweep.timings.write_text(json.dumps(known))
        return ours

    return build


@pytest.fixture
def as_if_undisturbed(undisturbed):
    """Assert that a sweep has all its records, each once, equal to those of the undisturbed sweep."""

    def check(ours):
        theirs = undisturbed.records()
        found = ours.records()
        assert found.keys() == ours.plan.runs.keys()
        common = found.keys() & theirs.keys()
        assert common
        assert_same_science({key: found[key] for key in common}, {key: theirs[key] for key in common})
        assert not list(ours.sweep.conflicts.glob("*"))

    return check


@pytest.fixture
def row(record_property):
    """Write a row of the table in docs/reliability.md."""

    def write(fault, ours, outcome, repeated=None):
        steps = ours.repeated() if repeated is None else repeated
        for name, value in zip(FIELDS, (fault, outcome, ours.interruptions(), steps), strict=True):
            record_property(name, value)

    return write


def pytest_terminal_summary(terminalreporter):
    rows = [
        dict(report.user_properties)
        for report in terminalreporter.getreports("passed")
        if "fault" in dict(report.user_properties)
    ]
    if rows:
        terminalreporter.section("faults on a real SLURM; a run has 410 steps and a checkpoint per second")
    for found in sorted(rows, key=lambda found: str(found["fault"])):
        terminalreporter.write_line("| " + " | ".join(str(found[name]) for name in FIELDS) + " |")
