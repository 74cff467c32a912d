"""A user corrects labels: `plan` and `run` notice it, and old results are not shown for new data."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.commands import in_process
from tests.launch.test_data_sources import swap_labels, write_pets

FILE = """
[sweep]
model = { name = "lenet_300_100" }
data = { name = "image_folder", path = "pets", size = 8, validation = 2 }

[train]
epochs = 1
batch_size = 4

[grid]
sparsity = [0.0]
seed = [0]

[local]
workers = 1
"""


@pytest.fixture
def pets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets.toml").write_text(FILE)
    return write_pets(tmp_path / "pets")


def lthsweep(*arguments):
    done = in_process.lthsweep(*arguments, cache=Path("cache").absolute())
    done.output = done.stdout + done.stderr
    return done


def test_plan_marks_keys_that_are_not_final(pets):
    """Until the files are read, by `data prepare` or `run`."""
    before = json.loads(lthsweep("plan", "pets.toml", "--json").stdout)
    time.sleep(0.1)  # files that are younger than a tick of the clock are read again
    lthsweep("data", "prepare", "pets.toml")
    after = json.loads(lthsweep("plan", "pets.toml", "--json").stdout)

    assert after["pending_data"] == []
    assert before["pending_data"] == ["image_folder path=pets size=8"]
    assert before["runs"] == 1


def test_prepare_makes_a_damaged_pack_again(pets):
    """The fingerprint in its output is that of the data."""
    lthsweep("data", "prepare", "pets.toml")
    [images] = Path("cache").glob("*/train_images.npy")
    content = images.read_bytes()
    images.write_bytes(content[:-1] + b"\x00")

    again = lthsweep("data", "prepare", "pets.toml")

    assert again.returncode == 0 and "was damaged" in again.output
    assert images.read_bytes() == content


@pytest.mark.slow
def test_corrected_labels_are_trained_or_refused(pets):
    """Not the old labels, and not the old table."""
    assert lthsweep("run", "pets.toml", "-q").returncode == 0
    swap_labels(pets)

    planned = lthsweep("plan", "pets.toml")
    refused = lthsweep("run", "pets.toml")
    again = lthsweep("run", "pets.toml", "--new-data")
    status = lthsweep("status", "pets.toml")
    swap_labels(pets)
    later = lthsweep("status", "pets.toml")

    assert "changed since it was read" in planned.output
    assert refused.returncode == 2
    assert "2 changed (cat/0.bmp, dog/0.bmp)" in refused.output and "--new-data" in refused.output
    assert again.returncode == 0
    assert "1 run finished" in again.output
    assert "belongs to other data" in status.output and "changed since" not in status.output
    assert "changed since they were read" in later.output
