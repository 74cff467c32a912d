"""Networks of the user and of libraries in another folder, through plan, run, kill, resume, audit and table."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest

from lthsweep.store.layout import SweepDir
from lthsweep.store.publish import differences
from lthsweep.store.record import decode
from lthsweep.usercode import ALLOW_VARIABLE
from tests.launch.processes import PATIENCE, wait_until
from tests.launch.sweeps import command, environment

pytestmark = pytest.mark.slow

CNN = """
from torch import nn

from blocks import stem


class SharedCnn(nn.Module):
    def __init__(self, input_shape, classes, *, width=8):
        super().__init__()
        self.stem = stem(input_shape[0], width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.second.weight = self.first.weight
        self.norm = nn.GroupNorm(2, width)
        self.out = nn.Linear(width, classes)

    def forward(self, images):
        maps = self.stem(images)
        maps = self.norm(self.second(self.first(maps).relu())).relu()
        return self.out(maps.mean((2, 3)))
"""
BLOCKS = """
from torch import nn


def stem(channels, width):
    return nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
"""
LSTM = """
from torch import nn


class Reader(nn.Module):
    def __init__(self, input_shape, classes, *, width=16):
        super().__init__()
        self.table = nn.Embedding(input_shape.vocabulary, width, padding_idx=0)
        self.lstm = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(0.1)
        self.out = nn.Linear(2 * width, classes)

    def forward(self, tokens):
        outputs, _ = self.lstm(self.table(tokens))
        return self.out(self.dropout(outputs.amax(1)))
"""
FILE = """
[sweep]
name = "own"
model = {{ {model} }}
data = {{ {data} }}

[train]
epochs = 3
batch_size = 32
optimizer = {{ name = "sgd", lr = 0.05, momentum = 0.9 }}

[prune]
scope = "{scope}"
rewind = "weights+optimizer"

[grid]
sparsity = [0.5, 0.75]
rewind_epoch = [1]
seed = [0]

[local]
workers = 1
checkpoint_seconds = 0.05
"""
DIGITS = 'name = "digits", size = {size}, validation = 40, train_images = 320'
CASES = {
    "own-cnn": ('name = "my_nets:SharedCnn", width = 6', DIGITS.format(size=8), "global", signal.SIGKILL),
    "own-lstm": (
        'name = "my_nets:Reader"',
        'name = "text_csv", path = "texts", length = 8, validation = 40',
        "layer",
        signal.SIGKILL,
    ),
    "torchvision": (
        'name = "torchvision:shufflenet_v2_x0_5"',
        DIGITS.format(size=32),
        "layer",
        signal.SIGTERM,
    ),
    "timm": (
        'name = "timm:vit_tiny_patch16_224", patch_size = 8, embed_dim = 48, depth = 2, num_heads = 2',
        DIGITS.format(size=32),
        "global",
        signal.SIGTERM,
    ),
}
MASKS = {
    "own-cnn": ["stem.0.weight", "first.weight", "out.weight"],
    "own-lstm": [
        *(f"lstm.weight_{kind}_l0{way}" for way in ("", "_reverse") for kind in ("ih", "hh")),
        "out.weight",
    ],
}


def write(folder: Path, case: str) -> None:
    """The sweep, its network, and its data if it has any."""
    model, data, scope, _ = CASES[case]
    (folder / "own.toml").write_text(FILE.format(model=model, data=data, scope=scope))
    (folder / "my_nets.py").write_text(LSTM if case == "own-lstm" else CNN)
    (folder / "blocks.py").write_text(BLOCKS)
    texts = folder / "texts"
    texts.mkdir()
    chance = random.Random(0)
    for split, count in (("train", 400), ("test", 80)):
        rows = ["text,label"]
        for number in range(count):
            words = [chance.choice("abcdefgh" if number % 2 else "efghijkl") * 2 for _ in range(6)]
            rows.append(f"{' '.join(words)},{'odd' if number % 2 else 'even'}")
        (texts / f"{split}.csv").write_text("\n".join(rows) + "\n")


def variables(cache: Path, allow: str = "my_nets") -> dict[str, str]:
    return environment(cache) | {ALLOW_VARIABLE: allow}


def call(
    folder: Path, cache: Path, *arguments: str, allow: str = "my_nets"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=variables(cache, allow),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def workers_of(pid: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(word) for word in listed.stdout.split()]


def science(sweep: SweepDir) -> dict:
    return {key: decode(sweep.record(key)) for key in sweep.record_keys()}


@pytest.mark.parametrize("case", CASES)
def test_a_network_from_another_folder_survives_a_kill(cache, tmp_path, start, held, case):
    """The same bits with and without the kill; the sweep is planned, trained, audited and in the table."""
    if case == "timm" and importlib.util.find_spec("timm") is None:
        pytest.skip("SKIPPED: timm is not installed; pip install 'lthsweep[timm]', as CI does")
    folder = tmp_path / "study"
    folder.mkdir()
    write(folder, case)

    planned = json.loads(call(folder, cache, "plan", "own.toml", "--model", "--json").stdout)
    whole = call(folder, cache, "run", "own.toml", "--out", "whole")

    assert whole.returncode == 0, whole.stdout + whole.stderr
    expected = science(SweepDir(folder / "whole"))
    [network] = planned["networks"]
    pruned = [row["name"] for row in network["parameters"] if row["pruned"]]
    assert planned["runs"] == len(expected) == 3
    assert pruned == MASKS.get(case, pruned)

    # Killed while the dense run or its first ticket trains: a step takes long until then.
    sweep = SweepDir(folder / "killed")
    going = start(
        ["env", f"--chdir={folder}", *command("run", "own.toml", "--out", "killed")],
        env=variables(cache) | held.variables,
    )
    wait_until(lambda: list(sweep.checkpoints.glob("*")) if sweep.checkpoints.is_dir() else (), going)
    if CASES[case][3] == signal.SIGTERM:
        going.send_signal(signal.SIGTERM)
    else:
        os.kill(workers_of(going.pid)[0], signal.SIGKILL)
    held.let_go()
    output = going.end()
    assert going.returncode == (3 if CASES[case][3] == signal.SIGTERM else 0), output
    resumed = call(folder, cache, "run", "killed")

    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    found = science(sweep)
    assert {key: differences(found[key], expected[key]) for key in expected} == dict.fromkeys(found, ())
    for key, record in found.items():
        assert record.weights == expected[key].weights, "weights differ bit for bit"
        assert record.audit["ok"], record.audit
        assert sorted(record.masks) in ([], sorted(pruned))
        library = record.provenance.get("network")
        assert (library or {}).get("library", "own") == case.partition("-")[0]
    assert call(folder, cache, "doctor", "killed").returncode == 0
    rows = json.loads(call(folder, cache, "query", "killed", "--json").stdout)
    assert [(row["sparsity"], row["n"]) for row in rows] == [(0.5, 1), (0.75, 1)]
    layers = json.loads(
        call(
            folder, cache, "query", "killed", "--json", "--sql", "SELECT DISTINCT layer, size FROM layers"
        ).stdout
    )
    assert {row["layer"] for row in layers} == set(pruned)
    if case == "own-lstm":
        assert all(row["ticket_accuracy"] > 0.6 for row in rows)


def keys(folder: Path, cache: Path) -> set[str]:
    shown = json.loads(call(folder, cache, "plan", "own.toml", "--json", "--runs").stdout)
    return {run["key"] for run in shown["run_list"]}


@pytest.mark.parametrize("changed", ["my_nets.py", "blocks.py"])
def test_a_changed_source_or_import_changes_every_key(cache, tmp_path, changed):
    write(tmp_path, "own-cnn")
    before = keys(tmp_path, cache)
    assert keys(tmp_path, cache) == before

    (tmp_path / changed).write_text((tmp_path / changed).read_text() + "\n# changed\n")

    assert not keys(tmp_path, cache) & before


def test_a_network_without_permission_runs_no_code(cache, tmp_path):
    """Neither the module nor its import: each would leave a file."""
    write(tmp_path, "own-cnn")
    for name in ("my_nets.py", "blocks.py"):
        path = tmp_path / name
        path.write_text(f"import pathlib\npathlib.Path({name + '.ran'!r}).touch()\n{path.read_text()}")

    for words in (("plan", "own.toml"), ("plan", "own.toml", "--model"), ("run", "own.toml")):
        ended = call(tmp_path, cache, *words, allow="blocks")
        assert ended.returncode == (0 if words == ("plan", "own.toml") else 2)

    assert "LTHSWEEP_ALLOW_CODE=my_nets" in ended.stderr
    assert not list(tmp_path.glob("*.ran"))
    assert not (tmp_path / "results").exists()
