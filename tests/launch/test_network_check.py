"""Networks are tried before anything is queued: a bad one ends the command with its reason, and writes nothing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from lthsweep.usercode import ALLOW_VARIABLE
from tests.launch.processes import PATIENCE
from tests.launch.sweeps import command, environment

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, input_shape, classes, *, width=8):
        super().__init__()
        self.hidden = nn.Linear(input_shape[0] * input_shape[1] * input_shape[2], width)
        self.out = nn.Linear(width, classes)

    def forward(self, images):
        return self.out(self.hidden(images.flatten(1)).relu())
"""
FILE = """
[sweep]
model = { name = "my_nets:Net" }
data = { name = "digits", size = 8, validation = 100 }

[train]
epochs = 1
batch_size = 64

[grid]
sparsity = [0.5]
rewind_epoch = [0]
seed = [0]

[local]
workers = 1
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path, cache):
    """Runs a command in a folder with a network, which is allowed."""
    (tmp_path / "my_nets.py").write_text(NET)
    (tmp_path / "own.toml").write_text(FILE)

    def start(*arguments: str, allow: str = "my_nets", **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            cwd=tmp_path,
            env={**environment(cache), ALLOW_VARIABLE: allow, "PYTHONPATH": str(Path.cwd()), **variables},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    start.folder = tmp_path
    return start


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        ("import os\nos.kill(os.getpid(), 11)", (), "signal SIGSEGV"),
        ("print('the last words')\nraise SystemExit(7)", (), "exit code 7; its last output: the last words"),
        ("import time\ntime.sleep(1000)", (), "more than 20 seconds"),
        ("1 / 0", (), "my_nets.py fails when it is run: ZeroDivisionError"),
        (NET.replace("return self.out(", "return ("), (), "returns [1, 8] for one input"),
        (NET, ("model.width=0",), "'hidden' is empty"),
        (NET, ('prune.exclude=["*"]',), "nothing is left to prune of 2 layers"),
        (NET, ("prune.method=synflow", 'sweep.model={name="timm:no_such_net"}'), "timm"),
    ],
)
def test_a_network_that_cannot_be_used_ends_the_command(run, text, changes, message):
    defined = "" if "Net" in text else "\ndef Net(input_shape, classes): pass"
    (run.folder / "my_nets.py").write_text(text + defined)
    settings = [item for change in changes for item in ("--set", change)]

    ended = run("run", "own.toml", *settings, LTHSWEEP_TRIAL_SECONDS="20")

    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert message in ended.stderr
    assert not (run.folder / "results").exists()


def test_plan_shows_the_network_and_writes_nothing(run):
    shown = run("plan", "own.toml", "--model", "--set", 'prune.exclude=["out"]')
    answer = json.loads(run("plan", "own.toml", "--model", "--json").stdout)

    assert shown.returncode == 0, shown.stderr
    assert "610 parameters, 512 of them prunable in 1 weights" in shown.stdout
    [network] = answer["networks"]
    assert (network["params"], network["params_prunable"], network["macs"]) == (610, 592, 592)
    assert [row["name"] for row in network["parameters"] if row["pruned"]] == ["hidden.weight", "out.weight"]
    assert not (run.folder / "results").exists()


def test_planning_runs_no_code_of_the_network(run):
    """`plan` alone, and `plan --model` without permission."""
    (run.folder / "my_nets.py").write_text(f"import pathlib\npathlib.Path('ran').touch()\n{NET}")

    assert run("plan", "own.toml").returncode == 0
    refused = run("plan", "own.toml", "--model", allow="")

    assert refused.returncode == 2
    assert "LTHSWEEP_ALLOW_CODE=my_nets" in refused.stderr
    assert not Path(run.folder, "ran").exists()


def test_built_in_networks_are_not_tried(run):
    """And a built-in network with a scheme of the user is."""
    built_in = ("--set", 'sweep.model={name="lenet_300_100"}')
    ended = run("run", "own.toml", "-q", *built_in, LTHSWEEP_TRIAL_SECONDS="0.001")
    assert ended.returncode == 0, ended.stderr

    (run.folder / "my_nets.py").write_text("def scheme(model): pass")
    scheme = ("--set", 'sweep.model={name="lenet_300_100", init="my_nets:scheme"}')
    refused = run("run", "own.toml", "-q", *scheme)
    assert refused.returncode == 2
    assert "fills nothing" in refused.stderr
