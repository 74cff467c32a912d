"""A sweep and the content of its data: what changed is noticed before anything is trained."""

from __future__ import annotations

import io
import os
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from lthsweep.data.cache import prepare
from lthsweep.errors import ChangedDataError, MissingDataError
from lthsweep.launch.data_sources import check_unchanged, with_known_sources, with_prepared_sources
from lthsweep.launch.preflight import open_sweep
from lthsweep.plan.expand import expand
from lthsweep.spec import load_spec, spec_of
from lthsweep.store.layout import SweepDir


def write_pets(folder, count=6, first=0):
    """Bright cats and dark dogs."""
    for label, level in (("cat", 200), ("dog", 50)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            pixels = np.full((8, 8, 3), level + number % 40, np.uint8)
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, "BMP")
            (folder / label / f"{number}.bmp").write_bytes(stream.getvalue())
    return folder


def spec(path, **data):
    options = {"name": "image_folder", "path": str(path), "size": 8, "validation": 2, **data}
    return spec_of(
        {
            "sweep": {"name": "pets", "model": {"name": "lenet_300_100"}, "data": options},
            "train": {"epochs": 2, "batch_size": 4},
            "grid": {"sparsity": [0.5], "rewind_epoch": [0], "seed": [0]},
        }
    )


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LTHSWEEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LTHSWEEP_DATA", str(tmp_path / "root"))


@pytest.fixture
def sweep(tmp_path):
    return SweepDir(tmp_path / "results/pets")


def opened(written, sweep):
    """The prepared spec, with a directory that has a file and one record."""
    ready = with_prepared_sources(written, sweep)
    open_sweep(ready, sweep)
    sweep.record("0" * 20).write_bytes(b"a record")
    return ready


def test_keys_are_pending_until_the_files_are_read(tmp_path, sweep):
    """`plan` must not print keys that no run will have."""
    written = spec(write_pets(tmp_path / "pets"))
    time.sleep(0.1)  # files that are younger than a tick of the clock are read again
    before = expand(with_known_sources(written, sweep, now=True))
    ready = expand(with_prepared_sources(written, sweep))
    after = expand(with_known_sources(written, sweep, now=True))

    assert len(before.pending_data) == 1
    assert ready.pending_data == after.pending_data == []
    assert set(ready.runs) == set(after.runs)
    assert not set(before.runs) & set(ready.runs)


def test_a_folder_and_its_zip_have_equal_keys(tmp_path, sweep):
    """At any path, under any name, whatever the dates of the files."""
    folder = write_pets(tmp_path / "pets")
    shutil.make_archive(str(tmp_path / "other name"), "zip", folder)
    for file in folder.rglob("*.bmp"):
        os.utime(file, (1, 1))

    first, second = (
        expand(with_prepared_sources(spec(path), sweep)) for path in (folder, tmp_path / "other name.zip")
    )

    assert set(first.runs) == set(second.runs)


def swap_labels(pets):
    (pets / "cat/0.bmp").rename(pets / "x.bmp")
    (pets / "dog/0.bmp").rename(pets / "cat/0.bmp")
    (pets / "x.bmp").rename(pets / "dog/0.bmp")


def rename_class(pets):
    (pets / "dog").rename(pets / "wolf")


def add_image(pets):
    write_pets(pets, count=1, first=99)


def change_in_place(pets):
    """Same name, same size, same date."""
    file = pets / "cat/1.bmp"
    content, before = bytearray(file.read_bytes()), file.stat()
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [swap_labels, rename_class, add_image, change_in_place])
def test_changed_data_stops_a_sweep(tmp_path, sweep, change):
    """It would train the old labels, or show old results for new data."""
    pets = write_pets(tmp_path / "pets")
    before = opened(spec(pets), sweep)
    change(pets)

    now = with_prepared_sources(spec(pets), sweep)

    assert now.sweep.sources != before.sweep.sources
    with pytest.raises(ChangedDataError, match=r"changed since then.*--new-data"):
        check_unchanged(now, sweep)
    assert not set(expand(now).runs) & set(expand(before).runs)


def test_other_data_of_the_same_name_stops_a_sweep(tmp_path, sweep):
    """Folders are often called `data`."""
    opened(spec(write_pets(tmp_path / "a/data")), sweep)
    other = spec(write_pets(tmp_path / "b/data", count=7))

    with pytest.raises(ChangedDataError, match=r"a/data.*the file now names .*b/data"):
        check_unchanged(with_prepared_sources(other, sweep), sweep)


def touch(pets):
    for file in pets.rglob("*.bmp"):
        file.touch()


def add_litter(pets):
    (pets / ".DS_Store").write_bytes(b"x")
    (pets / "cat/notes.txt").write_text("good cats")


@pytest.mark.parametrize("change", [touch, add_litter])
def test_what_changes_no_sample_changes_no_key(tmp_path, sweep, change):
    """Copies have other dates, and folders collect other files."""
    pets = write_pets(tmp_path / "pets")
    before = opened(spec(pets), sweep)
    change(pets)

    now = with_prepared_sources(spec(pets), sweep)

    assert now.sweep.sources == before.sweep.sources
    check_unchanged(now, sweep)


def test_a_larger_grid_is_no_change_of_data(tmp_path, sweep):
    """Neither is another size of the same images."""
    pets = write_pets(tmp_path / "pets")
    opened(spec(pets), sweep)

    check_unchanged(with_prepared_sources(spec(pets, size=16), sweep), sweep)


def test_restored_data_has_its_old_keys(tmp_path, sweep):
    """The pack of the first content is still there."""
    pets = write_pets(tmp_path / "pets")
    before = opened(spec(pets), sweep)
    rename_class(pets)
    with_prepared_sources(spec(pets), sweep)
    (pets / "wolf").rename(pets / "dog")

    now = with_prepared_sources(spec(pets), sweep)

    assert now == before
    check_unchanged(now, sweep)


def test_a_directory_is_read_without_its_data(tmp_path, sweep):
    """Results are read on other machines, and weeks later."""
    pets = write_pets(tmp_path / "pets")
    before = opened(spec(pets), sweep)
    shutil.rmtree(pets)
    shutil.rmtree(tmp_path / "cache")

    by_directory = with_known_sources(load_spec(sweep.sweep_toml), sweep)
    by_file = with_known_sources(spec(pets), sweep)

    assert set(expand(by_directory).runs) == set(expand(by_file).runs) == set(expand(before).runs)
    with pytest.raises(MissingDataError, match="pets does not exist"):
        with_prepared_sources(spec(pets), sweep)


def test_a_pack_replaces_absent_files(tmp_path, sweep):
    """A cluster's nodes may see the cache only."""
    pets = write_pets(tmp_path / "pets")
    before = opened(spec(pets), sweep)
    shutil.rmtree(pets)

    assert with_prepared_sources(spec(pets), sweep) == before


def test_old_and_new_data_share_no_pack(tmp_path):
    """A second data root with files of the same names, and a folder that changed."""
    options = {"name": "image_folder", "path": "pets", "size": 8}
    first, second = tmp_path / "one", tmp_path / "two"
    write_pets(first / "pets")
    write_pets(second / "pets", count=7)

    packs = [prepare(options, root=root) for root in (first, second, first)]

    assert packs[0].folder == packs[2].folder != packs[1].folder
    assert [len(pack.train_labels) + len(pack.test_labels) for pack in packs] == [12, 14, 12]
