"""The output of `data prepare`: classes with counts, unused files, `--strict` and `--json`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.commands.in_process import lthsweep


@pytest.fixture
def pets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chance = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(10):
            pixels = chance.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"pets/{name}/{number}.png")
    return tmp_path / "pets"


def prepare(*options):
    return lthsweep(
        "data", "prepare", "image_folder", "--path", "pets", "--size", "8", *options, cache=Path("cache")
    )


def test_classes_are_listed_with_their_counts(pets):
    """A class that is missing, or a layout that was read in another way, is seen at once."""
    done = prepare()

    assert done.returncode == 0
    assert "layout: CLASS; one in five is a test sample" in done.stdout
    assert [line.split() for line in done.stdout.splitlines()[2:]] == [
        ["cat", "8", "training", "2", "test"],
        ["dog", "8", "training", "2", "test"],
    ]


def test_unused_files_follow_the_folder(pets):
    """The pack stays the same, but a file that came later is counted."""
    before = prepare().stdout
    (pets / "cat/10.heic").write_bytes(b"x")

    after = prepare().stdout

    assert before.splitlines()[0] == after.splitlines()[0]
    assert "not used" not in before
    assert "not used: files with the ending .heic, which are not read as images: 1 (cat/10.heic)" in after


def test_strict_refuses_unused_files(pets):
    """The message names them, and the exit code is that of bad input."""
    assert prepare("--strict").returncode == 0
    (pets / "cat/10.heic").write_bytes(b"x")

    done = prepare("--strict")

    assert done.returncode == 2
    assert "cat/10.heic" in done.stderr


def test_json_has_every_class_and_finding(pets):
    """For programs."""
    (pets / "notes.md").write_bytes(b"x")
    (pets / "dog/copy.png").write_bytes((pets / "cat/0.png").read_bytes())

    found = json.loads(prepare("--json").stdout)

    assert [entry["name"] for entry in found["classes"]] == ["cat", "dog"]
    assert sum(entry["train"] + entry["test"] for entry in found["classes"]) == 21
    assert found["unused"] == [
        {
            "reason": "files with the ending .md, which are not read as images",
            "count": 1,
            "examples": ["notes.md"],
        }
    ]
    assert any(
        "of another class" in finding["reason"] and finding["count"] == 2 for finding in found["remarks"]
    )


def test_many_classes_are_summarized(pets):
    """A thousand lines hide the smallest class."""
    for number in range(30):
        (pets / f"c{number:02}").mkdir()
        for image in range(2 + number):
            (pets / f"c{number:02}/{image}.png").write_bytes((pets / "cat/0.png").read_bytes())

    lines = prepare().stdout.splitlines()

    assert len(lines) < 20
    assert any("24 more; fewest: 'c00' (2), most: 'c29' (31)" in line for line in lines)


def test_a_plan_mentions_unused_files(pets, tmp_path):
    """`run` and `plan` pack data too, without the list of `data prepare`."""
    (pets / "notes.md").write_bytes(b"x")
    prepare()
    (tmp_path / "pets.toml").write_text(
        '[sweep]\nmodel = { name = "lenet_300_100" }\ndata = { name = "image_folder", path = "pets", size = 8 }\n'
        "[train]\nepochs = 1\nbatch_size = 4\n[grid]\nsparsity = [0.5]\n"
    )

    assert "data: 1 file or rows of image_folder" in lthsweep("plan", "pets.toml", cache=Path("cache")).stdout


def test_a_class_that_validation_takes_is_refused(pets, tmp_path):
    """The class would be tested, and never trained."""
    for number in range(8):
        (pets / f"dog/{number}.png").unlink()
    prepare()
    (tmp_path / "pets.toml").write_text(
        '[sweep]\nmodel = { name = "lenet_300_100" }\n'
        'data = { name = "image_folder", path = "pets", size = 8, validation = 6 }\n'
        "[train]\nepochs = 1\nbatch_size = 2\n[grid]\nsparsity = [0.5]\n"
    )

    done = lthsweep("plan", "pets.toml", cache=Path("cache"))

    assert done.returncode == 2
    assert "class 'dog'" in done.stderr
    assert "lower data.validation" in done.stderr
