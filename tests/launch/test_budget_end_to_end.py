"""A ticket within a given time through the command line: trained, interrupted, refused, tabulated."""

from __future__ import annotations

import json
import signal
import subprocess
import time

import pytest

from lthsweep.store.heartbeats import read_heartbeats
from lthsweep.store.layout import SweepDir
from lthsweep.store.record import decode
from lthsweep.store.weights import load_metadata
from tests.launch.sweeps import command, environment, lthsweep

pytestmark = pytest.mark.slow

BUDGET = """
[sweep]
name = "budget"
model = { name = "lenet_300_100" }
data = { name = "digits", size = 8, validation = 100 }

[train]
epochs = 1000
batch_size = 16
optimizer = { name = "sgd", lr = 0.05, momentum = 0.9 }
schedule = { name = "cosine" }

[prune]
schedule = "budget"
min_round_epochs = 2

[grid]
sparsity = [0.9]
time = ["60s"]

[local]
workers = 1
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "budget.toml"
    path.write_text(BUDGET)
    return path


def asked(sweep, cache, *words):
    return json.loads(lthsweep("query", sweep.path, *words, "--json", cache=cache).stdout)


def test_a_budget_that_is_too_small_fails_alone(finished, file, cache, tmp_path):
    """The message names the smallest budget. The other cell is trained, and exit code and table report the failure."""
    sweep = SweepDir(tmp_path / "sweep")

    ended = lthsweep(
        "run",
        file,
        *("--out", sweep.path, "--set", "train.epochs=2", "--set", 'grid.time=["60s", "0.001s"]'),
        cache=cache,
    )

    assert ended.returncode == 1, ended.stdout + ended.stderr
    done, failed = asked(sweep, cache)
    assert (done["prune.time"], done["n"], failed["prune.time"], failed["n_failed"]) == (
        "60s",
        1,
        "0.001s",
        1,
    )
    assert done["seconds_budget"] == 60
    assert 0 < done["seconds_spent"] <= 60
    assert 0 < done["seconds_predicted"] <= 60
    assert 1 <= done["rounds"] <= 10
    assert failed["rounds"] is None
    (cause,) = [run["cause"] for run in asked(sweep, cache, "--table", "runs", "state = 'failed'")]
    assert "the smallest time that would do is" in cause
    assert lthsweep("doctor", sweep.path, cache=cache).returncode == 0


@pytest.mark.heavy  # twelve seconds by the clock
def test_a_stopped_budget_run_resumes_with_its_rest(finished, file, cache, tmp_path):
    """`status` shows the round; time is not spent twice."""
    sweep = SweepDir(tmp_path / "sweep")
    arguments = ("run", file, "--out", sweep.path, "--set", 'grid.time=["12s"]', "--set", "train.epochs=60")
    first = subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(cache),
    )
    phase = ""
    while first.poll() is None and not phase.startswith(("round", "ticket")):
        time.sleep(0.1)
        beats = [beat for beat in read_heartbeats(sweep) if beat.phase != "train"]
        phase = beats[0].phase if beats else ""
    first.send_signal(signal.SIGTERM)
    output, _ = first.communicate(timeout=120)
    assert phase.startswith(("round", "ticket")), output
    (checkpoint,) = sweep.checkpoints.glob("*.safetensors")
    before = json.loads(load_metadata(checkpoint)["progress"])["budget"]["spent"]

    ended = lthsweep(*arguments, cache=cache)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    records = [decode(sweep.record(key)) for key in sweep.record_keys()]
    (account,) = [record.provenance["budget"] for record in records if record.kind == "ticket"]
    assert all(record.audit["ok"] for record in records)
    assert 0 < before < account["spent"]
    assert sum(one["seconds"] for one in account["rounds"]) <= account["spent"]
