"""Folders of any name: every command works in them, and the commands in its messages can be copied."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from lthsweep.plan.expand import expand
from lthsweep.spec import dump_spec, load_spec
from lthsweep.store.failures import Failure, record_failure
from lthsweep.store.layout import SweepDir
from lthsweep.store.record import encode
from tests.commands.in_process import lthsweep
from tests.commands.records import small_record
from tests.launch.sweeps import write_tiny

NAMES = (
    "my sweep",
    "Größe 実験",
    'it\'s "quoted"',
    "two\nlines",
    "$(touch x); y & z",
    "[bold] %s {0} *",
    "x" * 200,
    "like.toml",
    "trailing ",
)


@pytest.fixture(params=NAMES, ids=repr)
def sweep(tmp_path, request):
    """A sweep with a finished dense run and a failed ticket in a folder of that name."""
    spec = load_spec(write_tiny(tmp_path))
    sweep = SweepDir(tmp_path / request.param).create()
    sweep.sweep_toml.write_text(dump_spec(spec))
    dense, failed, *_ = expand(spec).runs.values()
    sweep.record(dense.key).write_bytes(encode(small_record(dense, host="h", device="cpu")))
    sweep.log(dense.key).write_text("a line\n")
    record_failure(sweep, failed.key, Failure("a cause", time=1.0))
    return sweep


@pytest.fixture
def run_command(cache):
    return lambda *arguments: lthsweep(*arguments, cache=cache)


def copyable(output, sweep):
    """The words of each command of a message that names the directory."""
    quoted = shlex.quote(str(sweep.path))
    for start in re.finditer(r"lthsweep (run|merge|query|report|status|logs|doctor|explain) ", output):
        rest = output[start.start() :]
        if str(sweep.path) in rest.split("`")[0] or quoted in rest.split("`")[0]:
            assert rest[start.end() - start.start() :].startswith(quoted), rest[:300]
            yield rest


def test_reading_commands_work_in_any_folder(sweep, run_command):
    """The shell gets one argument, whatever the name contains."""
    commands = [
        ("plan", sweep.path),
        ("status", sweep.path),
        ("status", sweep.path, "--json"),
        ("explain", sweep.path),
        ("merge", sweep.path),
        ("query", sweep.path),
        ("query", sweep.table, "--json"),
        ("compare", sweep.path, "--axis", "sparsity"),
        ("logs", sweep.path, "sparsity=0"),
        ("report", sweep.path),
        ("doctor", sweep.path),
    ]
    found = 0
    for command in commands:
        ended = run_command(*command)
        assert ended.returncode in (0, 1, 3), (command, ended.stdout, ended.stderr)
        assert "Traceback" not in ended.stderr
        found += len(list(copyable(ended.stdout + ended.stderr, sweep)))
    assert found
    assert sweep.report.is_file()


def test_out_takes_a_folder_of_any_name(tmp_path, sweep, run_command):
    """The same file in another folder, given with --out."""
    file = write_tiny(tmp_path)
    sweep.sweep_toml.unlink()

    ended = run_command("plan", file, "--out", sweep.path, "--json")

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["done"] == 1


def test_a_name_in_another_script_is_its_folder(tmp_path, monkeypatch, run_command):
    """Two files whose names have no Latin letter have two folders, and the report of one is not that of the other."""
    monkeypatch.chdir(tmp_path)
    folders = []
    for stem in ("实验一", "实验二", "My Sweep"):
        file = write_tiny(tmp_path).rename(tmp_path / f"{stem}.toml")
        file.write_text(file.read_text().replace('name = "tiny"\n', ""))
        found = json.loads(run_command("plan", file.name, "--json").stdout)
        folders.append((found["name"], found["directory"]))

    assert folders == [
        ("实验一", "results/实验一"),
        ("实验二", "results/实验二"),
        ("My Sweep", folders[2][1]),
    ]
    assert folders[2][1].startswith("results/my-sweep+")


def test_a_report_can_go_to_another_folder(tmp_path, sweep, run_command):
    """The directory of another user can be read, and not written to; nothing is merged there."""
    before = {path for path in sweep.path.rglob("*") if path.is_file()}

    ended = run_command("report", sweep.path, "--to", tmp_path / "mine")

    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "mine" / "report.html").is_file()
    assert (tmp_path / "mine" / "figures" / "accuracy.svg").is_file()
    assert {path for path in sweep.path.rglob("*") if path.is_file()} == before
