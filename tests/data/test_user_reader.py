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


READS = """
import numpy as np

def load(files, *, watch=""):
    if watch:
        files.watch(watch)
    images = np.load(files.root / "images.npy")
    labels = np.arange(len(images)) % 2
    return images, labels, images[:2], labels[:2], ("a", "b")
"""


@pytest.fixture
def stored(tmp_path):
    (tmp_path / "my_data.py").write_text(READS)
    np.save(tmp_path / "images.npy", np.full((6, 4, 4, 1), 7, np.uint8))
    return tmp_path


def read(folder, **more):
    return prepare(options(**more), root=folder, cache=folder / "cache")


def test_files_that_a_reader_opens_are_watched(stored):
    """Otherwise a correction of the data would be trained on the old pack."""
    before = read(stored)
    np.save(stored / "images.npy", np.full((6, 4, 4, 1), 8, np.uint8))

    after = read(stored)

    assert (before.train_images[0, 0, 0, 0], after.train_images[0, 0, 0, 0]) == (7, 8)
    assert before.source != after.source


def test_the_source_of_a_reader_has_no_place(stored, tmp_path_factory):
    """The same files below another data root are the same data."""
    other = tmp_path_factory.mktemp("other")
    (other / "images.npy").write_bytes((stored / "images.npy").read_bytes())

    first, second = read(stored), prepare(options(), root=other, cache=stored / "cache")

    assert first.source == second.source
    assert first.folder == second.folder


def test_a_reader_can_name_files_to_watch(stored):
    """A C library opens files without an event."""
    extra = stored / "labels.h5"
    extra.write_bytes(b"one")
    before = read(stored, watch=str(extra))
    extra.write_bytes(b"two")

    assert read(stored, watch=str(extra)).source != before.source


def test_verify_runs_a_reader_again(stored):
    """It finds what no event showed."""
    read(stored)
    np.save(stored / "images.npy", np.full((6, 4, 4, 1), 9, np.uint8))

    pack, files = verify_dataset(options(), stored, stored / "cache")

    assert (pack.verdict, files.verdict) == ("good", "different")
    assert "1 changed (" in files.detail and "lthsweep data prepare my_data:load" in files.detail
