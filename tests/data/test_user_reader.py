"""A data set that a reader of the user produces."""

from __future__ import annotations

import numpy as np
import pytest

from lthsweep.data.availability import list_datasets, verify_dataset
from lthsweep.data.cache import open_packed, prepare
from lthsweep.errors import CodeError, DataError, MissingDataError
from lthsweep.usercode import pinned

SOURCE = """
import numpy as np

def load(files, *, size=4):
    images = np.full((6, size, size, 1), 7, np.uint8)
    labels = np.arange(6, dtype=np.int32) % 2
    return images, labels, images[:2], labels[:2], ("a", "b")

def broken(files):
    return 1 / 0

def empty(files):
    return None
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "my_data.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LTHSWEEP_ALLOW_CODE", "my_data")


def options(function="load", **more):
    return {"name": pinned(f"my_data:{function}"), "validation": 1, **more}


def test_user_readers_are_packed_like_others(tmp_path):
    """Its options name the pack; those applied on the fly do not."""
    packed = prepare(options(size=5), cache=tmp_path)

    assert packed.shape == (1, 5, 5)
    assert packed.train_labels.dtype == np.int64
    assert packed.class_names == ("a", "b")
    assert open_packed(options(size=5, padding=2), cache=tmp_path).fingerprint == packed.fingerprint
    assert prepare(options(size=6), cache=tmp_path).folder != packed.folder


def test_code_that_is_not_allowed_does_not_run(tmp_path, monkeypatch):
    """A file can come from another person."""
    monkeypatch.delenv("LTHSWEEP_ALLOW_CODE")

    with pytest.raises(CodeError, match="LTHSWEEP_ALLOW_CODE"):
        prepare(options(), cache=tmp_path)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (lambda: options(edge=3), "data.edge"),
        (lambda: options("broken"), "ZeroDivisionError"),
        (lambda: options("empty"), "returns NoneType"),
    ],
)
def test_a_reader_that_fails_is_named(tmp_path, wanted, message):
    """An option that it does not take is an error, not ignored."""
    with pytest.raises(DataError, match=message):
        prepare(wanted(), cache=tmp_path)


def test_packs_of_user_readers_are_listed(tmp_path):
    """After the data sets of the registry, one row per pack."""
    prepare(options(size=5), cache=tmp_path)
    damaged = prepare(options(size=6), cache=tmp_path)
    (damaged.folder / "meta.json").write_text("{")

    *_, first, second = list_datasets(cache=tmp_path)

    rows = {row.state: row for row in (first, second)}
    assert (rows["packed"].name, rows["packed"].shape, rows["packed"].n_train) == (
        "my_data:load",
        (1, 5, 5),
        6,
    )
    assert (rows["damaged"].name, rows["damaged"].where) == ("my_data.load", str(damaged.folder))


def test_verify_of_an_unpacked_reader_names_the_command(tmp_path):
    """There are no published files to compare."""
    with pytest.raises(MissingDataError, match="lthsweep data prepare my_data:load"):
        verify_dataset(options(), cache=tmp_path)
    prepare(options(), cache=tmp_path)

    pack, files = verify_dataset(options(), cache=tmp_path)

    assert (pack.verdict, files.verdict) == ("good", "good")
