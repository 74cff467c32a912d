"""Commands report runs that are set aside, because their data or network differs from the runs in use."""

from __future__ import annotations

import json

import pytest

from lthsweep.api import load
from lthsweep.commands.tables import report_input
from lthsweep.plan.expand import expand
from lthsweep.spec import dump_spec, load_spec
from lthsweep.store.layout import SweepDir
from lthsweep.store.record import encode
from tests.commands.in_process import lthsweep
from tests.commands.records import small_record
from tests.launch.sweeps import write_tiny

DATA = ("a" * 64, "b" * 64, "a" * 64)


def record_of(run):
    return small_record(
        run, remaining=5, host=f"host{run.seed}", device="cpu", data_fingerprint=DATA[run.seed]
    )


@pytest.fixture
def sweep(tmp_path):
    """A finished sweep of three seeds, one of which was trained on data that decoded to other values."""
    spec = load_spec(write_tiny(tmp_path, seeds="[0, 1, 2]"))
    sweep = SweepDir(tmp_path / "my sweep").create()
    sweep.sweep_toml.write_text(dump_spec(spec))
    for key, run in expand(spec).runs.items():
        sweep.record(key).write_bytes(encode(record_of(run)))
    return sweep


@pytest.fixture
def run_command(cache):
    return lambda *arguments: lthsweep(*arguments, cache=cache)


def set_aside_of(sweep):
    return {run.key for run in expand(load_spec(sweep.sweep_toml)).runs.values() if run.seed == 1}


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["merge"], 3),
        (["run"], 3),
        (["status"], 3),
        (["plan"], 0),
        (["query"], 0),
        (["query", "--json"], 0),
        (["compare", "--axis", "sparsity"], 0),
        (["explain"], 0),
        (["report"], 0),
        (["doctor"], 0),
    ],
)
def test_commands_name_groups_hosts_and_remedy(sweep, run_command, command, code):
    """The line has the number, both fingerprints, both hosts, and a command that can be copied."""
    ended = run_command(command[0], sweep.path, *command[1:])

    output = ended.stdout + ended.stderr
    assert ended.returncode == code, output
    for part in ("5 runs set aside", "aaaaaaaaaaaa", "bbbbbbbbbbbb", "host0", "host1"):
        assert part in output
    assert f"lthsweep doctor '{sweep.path}' --move-set-aside" in output


def test_rows_on_standard_output_stay_json(sweep, run_command):
    """The line goes to standard error, so that a program can read the rows."""
    rows = json.loads(run_command("query", sweep.path, "--json").stdout)

    assert {row["n_set_aside"] for row in rows} == {1}


def test_status_json_has_the_groups(sweep, run_command):
    """A program gets the same facts as the line."""
    found = json.loads(run_command("status", sweep.path, "--json").stdout)

    (group,) = found["set_aside"]
    assert (group["runs"], group["hosts"]) == (5, ["host1"])
    assert found["other_data"] == {}


def test_explain_gives_the_reason_of_a_run(sweep, run_command):
    """A run with a record is done; the cell still has no number in the table."""
    output = run_command("explain", sweep.path, "sparsity=0,seed=1").stdout

    assert "set aside" in output.splitlines()[-3]
    assert "--move-set-aside" in output


def test_move_set_aside_makes_the_runs_missing(sweep, run_command):
    """Their records and weights leave the directory, the others stay; `run` then has work."""
    aside = set_aside_of(sweep)
    before = set(sweep.record_keys())
    for key in aside:
        sweep.weights_of(key).mkdir()

    ended = run_command("doctor", sweep.path, "--move-set-aside")

    assert ended.returncode == 0, ended.stderr
    assert before - set(sweep.record_keys()) == aside
    assert not any(sweep.weights_of(key).exists() for key in aside)
    assert len(list(sweep.quarantine.iterdir())) == 2 * len(aside)
    status = run_command("status", sweep.path)
    assert "set aside" not in status.stdout
    assert "10 of 15 runs done" in status.stdout


def test_the_page_of_a_report_has_the_line(sweep, run_command):
    """A reader of the page alone must know that seeds are left out."""
    run_command("report", sweep.path)

    page = sweep.report.read_text()
    assert "5 runs set aside" in page
    assert "Cells set aside" in page


def test_a_copied_table_reports_what_it_sets_aside(sweep, run_command, tmp_path):
    """The table alone has the fingerprints of all runs."""
    run_command("merge", sweep.path)
    copy = tmp_path / "copy.h5"
    copy.write_bytes(sweep.table.read_bytes())

    assert load(copy).pool == load(sweep.path).pool
    assert "5 runs set aside" in run_command("query", copy).stderr


def test_a_comparison_leaves_them_out(sweep, run_command):
    """The seed of the other data is in no difference between values of an axis."""
    found = json.loads(run_command("compare", sweep.path, "--axis", "sparsity", "--json").stdout)

    assert {row["n"] for row in found["rows"]} == {2}


def test_figures_leave_them_out(sweep):
    """A curve or a point of the other data would be drawn next to those of the runs in use."""
    report = report_input(load(sweep.path))

    drawn = {key for one in report.combinations() for frame in (one.dense, one.runs) for key in frame["key"]}

    assert len(drawn) == 10
    assert drawn.isdisjoint(set_aside_of(sweep))


def test_run_names_a_pack_that_holds_other_values(sweep, run_command):
    """Training on this machine would only add runs that are set aside, and tickets that fail."""
    for key in set_aside_of(sweep):
        sweep.record(key).unlink()

    output = run_command("run", sweep.path).stdout

    assert "the pack of this machine holds other values" in output
    assert "aaaaaaaaaaaa, on host0, host2" in output
