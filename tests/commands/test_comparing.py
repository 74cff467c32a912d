"""`compare` on a sweep with synthetic numbers, and on its table alone."""

from __future__ import annotations

import csv
import io
import json

import pytest

import lthsweep as package
from lthsweep.reduce.merge import merge
from lthsweep.spec import dump_spec
from lthsweep.store.commit import replace
from lthsweep.store.layout import SweepDir
from lthsweep.store.record import encode
from tests.commands.in_process import lthsweep
from tests.reduce.reduce_cases import make_plan, make_record

LEAD = {"kaiming_normal": 0.02, "xavier_normal": 0.0}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Four seeds of two initializations; kaiming leads by two points, with noise of a tenth of a point."""
    plan = make_plan(sparsity=[0.5, 0.9], rewind_epoch=[0], seed=[0, 1, 2, 3], **{"model.init": list(LEAD)})
    sweep = SweepDir(tmp_path_factory.mktemp("compared") / "small").create()
    replace(sweep.sweep_toml, dump_spec(plan.spec).encode())
    for number, (key, run) in enumerate(plan.runs.items()):
        accuracy = 0.9 + LEAD[run.recipe.model["init"]] + 0.02 * run.seed + 0.001 * (number * number % 7)
        sweep.record(key).write_bytes(encode(make_record(run, accuracy=round(accuracy, 4))))
    merge(sweep, plan)
    return sweep


def test_compare_prints_settings_points_and_result(sweep, cache):
    """A reader must see which tests the verdicts come from."""
    ended = lthsweep("compare", sweep.path, "--axis", "model.init", cache=cache)

    assert ended.returncode == 0, ended.stderr
    assert "test_accuracy by model.init, higher is better; 4 common seeds" in ended.stdout
    assert "Holm's correction over 3 pairs, confidence 95 %, margin 0.2 points" in ended.stdout
    assert "over all points: kaiming_normal is first" in ended.stdout
    assert "kaiming_normal: first at 2 of 2 points; 2 best" in ended.stdout
    lines = [line.split() for line in ended.stdout.splitlines()]
    assert [line[0] for line in lines if "best" in line and "kaiming_normal" in line] == [
        "dense",
        "0.5",
        "0.9",
        "all",
    ]


def test_all_values_are_shown_on_request(sweep, cache):
    """With difference, interval, and p."""
    shown = lthsweep("compare", sweep.path, "--axis", "model.init", "--all", cache=cache).stdout

    assert shown.count("xavier_normal") >= 4
    assert "difference [CI]" in shown


def test_json_csv_and_python_agree(sweep, cache):
    """All three come from the same rows."""
    ask = ["compare", sweep.path, "--axis", "model.init"]

    output = json.loads(lthsweep(*ask, "--json", cache=cache).stdout)
    as_csv = list(csv.DictReader(io.StringIO(lthsweep(*ask, "--csv", cache=cache).stdout)))
    frame = package.load(sweep.path).compare("model.init")

    assert (output["axis"], output["metric"], output["tests"]) == ("model.init", "test_accuracy", 3)
    assert (
        [row["verdict"] for row in output["rows"]]
        == frame["verdict"].tolist()
        == [row["verdict"] for row in as_csv]
    )
    assert [row["p_holm"] for row in output["rows"] if row["rank"] == 2] == pytest.approx(
        frame["p_holm"][frame["rank"] == 2].tolist()
    )
    assert output["rows"][0]["p"] is None


def test_a_copied_table_is_enough(sweep, cache, tmp_path):
    """Results can be shared as one file."""
    alone = tmp_path / "table.h5"
    alone.write_bytes(sweep.table.read_bytes())

    ask = ["--axis", "model.init", "--json"]
    assert (
        lthsweep("compare", alone, *ask, cache=cache).stdout
        == lthsweep("compare", sweep.path, *ask, cache=cache).stdout
    )


def test_other_metrics_have_no_margin(sweep, cache):
    """The margin of the file is one of accuracies; the direction comes with the metric."""
    output = json.loads(
        lthsweep(
            "compare", sweep.path, "--axis", "sparsity", "--metric", "params_remaining", "--json", cache=cache
        ).stdout
    )

    assert (output["higher_is_better"], output["margin"]) == (False, 0.0)
    assert {row["first"] for row in output["rows"]} == {0.9}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--axis", "model.int"], "did you mean model.init?"),
        (["--axis", "seed"], "values are compared over seeds"),
        (["--axis", "model.init", "--metric", "accuracy"], "no metric 'accuracy'"),
        (["--axis", "model.init", "--confidence", "95"], "for example 0.95"),
        (["--axis", "model.init", "--json", "--csv"], "cannot be combined"),
    ],
)
def test_wrong_options_are_one_message(sweep, cache, arguments, message):
    ended = lthsweep("compare", sweep.path, *arguments, cache=cache)

    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
