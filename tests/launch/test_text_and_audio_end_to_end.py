"""Texts and sounds through the command line, from files to the table, on the corpora that the page makes."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

from lthsweep.store.layout import SweepDir
from lthsweep.store.record import decode
from tests.launch.sweeps import lthsweep

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs/text-and-audio.md"
SMALLER = ("--set", "grid.seed=[0]", "--set", "grid.sparsity=[0.5, 0.8]")
TEXTS = ("--set", "data.length=16", "--set", "model.embedding=32", "--set", "train.optimizer.lr=5e-3")
SOUNDS = (
    *("--set", "data.rate=8000", "--set", "data.seconds=0.5", "--set", "data.mels=16"),
    *("--set", "data.window=256", "--set", "data.hop=128", "--set", "data.padding=1"),
    *("--set", "model.channels=8", "--set", "train.epochs=6", "--set", "train.optimizer.lr=5e-3"),
)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """The program of the page, unchanged."""
    page = PAGE.read_text(encoding="utf-8")
    [program] = re.findall(r'^```python title="make_corpora.py"\n(.*?)^```', page, re.MULTILINE | re.DOTALL)
    folder = tmp_path_factory.mktemp("corpora")
    (folder / "make_corpora.py").write_text(program, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        runpy.run_path("make_corpora.py")
    return folder


@pytest.mark.parametrize(
    ("preset", "corpus", "options", "classes"),
    [
        ("text-cnn", "toy-texts", TEXTS, 4),
        ("text-cnn", "toy-texts", (*TEXTS, "--set", "model.name=text_transformer"), 4),
        ("audio-cnn", "toy-sounds", SOUNDS, 4),
    ],
    ids=["text_cnn", "text_transformer", "audio_cnn"],
)
def test_a_small_sweep_ends_with_trained_tickets(cache, corpora, tmp_path, preset, corpus, options, classes):
    """`run` packs the data; tickets are pruned exactly and are far above chance."""
    sweep = SweepDir(tmp_path / "sweep")
    path = ("--set", f"data.path={corpora / corpus}")

    ended = lthsweep("run", preset, *path, *SMALLER, *options, "--out", sweep.path, cache=cache)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = json.loads(lthsweep("query", sweep.path, "--json", cache=cache).stdout)
    assert [row["sparsity"] for row in rows] == [0.5, 0.8]
    assert all(row["dense_accuracy"] > 2 / classes for row in rows)
    assert all(row["ticket_accuracy"] > 2 / classes for row in rows)
    records = [decode(sweep.record(key)) for key in sweep.record_keys()]
    assert all(record.audit["ok"] for record in records)
    for record in records:
        assert not any("embedding" in name or "tasks" in name for name in record.masks)


def test_data_commands_handle_texts_and_sounds(corpora, tmp_path):
    """With the output of the page and the command of the list."""
    given = ("--path", corpora / "toy-texts", "--set", "data.length=16")

    made = lthsweep("data", "prepare", "text_csv", *given, cache=tmp_path)
    sound = lthsweep("data", "verify", "text_csv", *given, cache=tmp_path)
    other = lthsweep(
        "data", "prepare", "audio-cnn", "--set", f"data.path={corpora / 'toy-sounds'}", cache=tmp_path
    )
    rows = json.loads(lthsweep("data", "list", "--json", cache=tmp_path).stdout)

    assert made.returncode == sound.returncode == other.returncode == 0, (
        made.stderr + sound.stderr + other.stderr
    )
    assert "training and" in made.stdout
    assert "texts of 16 tokens" in made.stdout
    assert "good" in sound.stdout
    assert "sounds of 64×98×1, 4 classes" in other.stdout
    packed = {row["name"]: row["shape"] for row in rows if row["state"] == "packed"}
    assert packed == {"text_csv": [16], "audio_folder": [1, 64, 98]}
    assert {row["command"] for row in rows if row["state"] == "by path"} == {
        f"lthsweep data prepare {name} --path FOLDER"
        for name in ("image_folder", "text_csv", "text_folder", "audio_folder")
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("prepare", "text_csv", "--path", ".", "--set", "data.length=3"),
            "data.length = 3: must be a whole number >= 8",
        ),
        (("prepare", "text_csv"), "data.path: is missing"),
        (
            ("prepare", "audio_folder", "--path", "nowhere"),
            "nowhere exists; set it to the path of a folder of class folders",
        ),
        (("prepare", "text-cnn"), "data.path = 'my-texts': neither"),
    ],
)
def test_bad_data_is_reported(tmp_path, words, message):
    """With the exit code of bad input and without a traceback."""
    ended = lthsweep("data", *words, cache=tmp_path)

    assert ended.returncode == 2
    assert message in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


def test_a_preset_without_its_files_writes_nothing(tmp_path):
    """The message names the key of the path."""
    ended = lthsweep("run", "audio-cnn", "--out", tmp_path / "sweep", cache=tmp_path / "cache")

    assert ended.returncode == 2
    assert "my-sounds" in ended.stderr
    assert not (tmp_path / "sweep").exists()
