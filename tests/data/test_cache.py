from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.data import cache as cache_module
from lthsweep.data.cache import open_packed, prepare, verify
from lthsweep.data.datasets import dataset
from lthsweep.data.lookup import cache_folder, current_source, pack_folder
from lthsweep.data.moments import channel_moments
from lthsweep.data.packed import Packed
from lthsweep.errors import DataError, MissingDataError, UnknownNameError

MNIST = {"name": "mnist"}


@pytest.fixture
def packed(tmp_path, write_mnist):
    write_mnist(tmp_path / "root/mnist")
    return prepare(MNIST, root=tmp_path / "root", cache=tmp_path / "cache")


def test_pack_gives_back_what_was_read(packed, tmp_path, write_mnist):
    """Mapped bytes are the images; the source files are not needed any more."""
    arrays = write_mnist(tmp_path / "elsewhere")

    again = open_packed(MNIST, cache=tmp_path / "cache")

    assert isinstance(again.train_images, np.memmap)
    assert (again.train_images[..., 0] == arrays["train-images-idx3-ubyte"]).all()
    assert (again.test_labels == arrays["t10k-labels-idx1-ubyte"]).all()
    assert again.train_labels.dtype == np.int64
    assert (again.shape, again.classes, again.name) == ((1, 6, 5), 10, "mnist")
    assert again.fingerprint == packed.fingerprint
    assert (again.mean, again.std) == (packed.mean, packed.std)


@pytest.mark.parametrize(
    "extra",
    [{"validation": 7}, {"augment": "crop-flip"}, {"padding": 2}, {"normalize": "none"}, {"source": "x"}],
)
def test_options_that_move_no_pixel_share_the_pack(tmp_path, extra):
    """Otherwise a grid over the validation split would fill the disk."""
    assert pack_folder(MNIST | extra, "s", cache=tmp_path) == pack_folder(MNIST, "s", cache=tmp_path)
    digits = {"name": "digits", "size": 16}
    assert pack_folder(digits | extra, "s", cache=tmp_path) == pack_folder(digits, "s", cache=tmp_path)


def test_content_and_size_name_a_pack_and_no_path(tmp_path):
    """A pack must answer for no other files, and for the same files at any place."""
    folder = {"name": "image_folder", "size": 16, "path": str(tmp_path / "a")}
    names = {
        pack_folder(options, source, cache=tmp_path).name
        for options, source in (
            (MNIST, "s"),
            ({"name": "digits", "size": 16}, "s"),
            ({"name": "digits", "size": 32}, "s"),
            (folder, "s"),
            (folder | {"size": 32}, "s"),
            (folder, "t"),
            (folder | {"path": str(tmp_path / "b")}, "s"),
        )
    }

    assert len(names) == 6
    assert pack_folder({"name": "digits"}, "s", cache=tmp_path) == pack_folder(
        {"name": "digits", "size": 32}, "s", cache=tmp_path
    )


def test_sources_and_fingerprints_are_pinned(tmp_path):
    """A new kind of data must change neither: keys of runs and comparisons of records depend on them."""
    small = prepare({"name": "digits", "size": 8}, cache=tmp_path)

    assert small.source[:16] == current_source({"name": "digits"}, cache=tmp_path)[:16] == "479381d1d4552a6b"
    assert current_source(MNIST, root=tmp_path, cache=tmp_path)[:16] == "24a146d10c30b867"
    assert small.fingerprint == "93010a7e9f37ae1bbdac7916c0992959e813f9115e36fc961295eb00e89a9a47"


def test_digits_are_packed_on_the_spot(tmp_path):
    """The embedded set needs no command."""
    assert open_packed({"name": "digits", "size": 8}, cache=tmp_path).classes == 10


def test_unpacked_set_names_the_command(tmp_path):
    """The message for a missing data set has the command that gets it."""
    with pytest.raises(MissingDataError, match="run `lthsweep data prepare mnist`"):
        open_packed(MNIST, cache=tmp_path)
    with pytest.raises(MissingDataError, match="run `lthsweep data prepare cifar10`"):
        prepare({"name": "cifar10"}, root=tmp_path, cache=tmp_path)
    with pytest.raises(MissingDataError, match="data prepare image_folder --path 'my pets' --size 16`"):
        open_packed({"name": "image_folder", "path": "my pets", "size": 16}, cache=tmp_path)
    with pytest.raises(UnknownNameError, match="did you mean 'mnist'"):
        open_packed({"name": "minst"}, cache=tmp_path)
    with pytest.raises(DataError, match=r"data\.path"):
        open_packed({"name": "image_folder"}, cache=tmp_path)


def test_writing_to_images_leaves_the_file(packed, tmp_path):
    """They are mapped copy-on-write, so a mistake in one worker harms no other."""
    packed.train_images[:] = 0

    assert verify(MNIST, cache=tmp_path / "cache").fingerprint == packed.fingerprint


@pytest.mark.parametrize("file", ["train_images", "train_labels", "test_images", "test_labels"])
def test_verify_finds_one_changed_bit(packed, tmp_path, file):
    """Of any array."""
    path = packed.folder / f"{file}.npy"
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)

    with pytest.raises(DataError, match="fingerprint"):
        verify(MNIST, cache=tmp_path / "cache")


@pytest.mark.parametrize("file", ["train_images.npy", "test_labels.npy", "meta.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "other"])
def test_damaged_pack_is_refused_when_it_is_opened(packed, tmp_path, file, damage):
    """A file that is cut short would otherwise end a worker with a bus error in the middle of a training."""
    path = packed.folder / file
    if damage == "cut":
        os.truncate(path, path.stat().st_size - 1)
    elif damage == "gone":
        path.unlink()
    elif file == "meta.json":
        path.write_text(json.dumps({"format": 99}))
    else:
        np.save(path, np.zeros((3, 2, 2, 1) if "images" in file else 3, np.float32))

    with pytest.raises(DataError, match="remove that folder"):
        open_packed(MNIST, cache=tmp_path / "cache")


def test_pickled_array_in_a_pack_is_refused(packed, tmp_path):
    """Nothing read from disk can run code."""
    np.save(packed.folder / "train_labels.npy", np.array([print] * 40, dtype=object), allow_pickle=True)

    with pytest.raises(DataError, match="damaged"):
        open_packed(MNIST, cache=tmp_path / "cache")


CONTEND = """
import sys
from pathlib import Path
from lthsweep.data.cache import prepare

print("ready", flush=True)
sys.stdin.readline()
print(prepare({"name": "image_folder", "path": sys.argv[1], "size": 8}, cache=Path(sys.argv[2])).fingerprint)
"""


@pytest.fixture
def pets(tmp_path, write_tree, make_picture):
    """Options of ten small images in two classes."""
    files = {f"{label}/{n}.png": make_picture(n) for label in "ab" for n in range(5)}
    return {"name": "image_folder", "path": str(write_tree(tmp_path / "pets", files)), "size": 8}


@pytest.mark.slow
def test_processes_that_start_at_once_share_one_pack(tmp_path, pets):
    """Each may pack, one wins, all read the same; nothing is left over."""
    cache = tmp_path / "cache"
    command = [sys.executable, "-c", CONTEND, pets["path"], str(cache)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    answers = {worker.communicate(timeout=300)[0] for worker in workers}

    assert [worker.returncode for worker in workers] == [0] * 4
    assert len(answers) == 1
    assert packs_in(cache) == [prepare(pets, cache=cache).folder.name]


def test_loser_of_the_race_takes_the_winners_pack(tmp_path, write_mnist, monkeypatch):
    """The order of events that processes seldom hit: the pack appears after it was looked for."""
    write_mnist(tmp_path / "mnist")
    cache = tmp_path / "cache"
    load = cache_module.decode

    def load_while_another_packs(*arguments):
        monkeypatch.setattr(cache_module, "decode", load)
        winner.append(prepare(MNIST, root=tmp_path, cache=cache))
        return load(*arguments)

    winner: list[Packed] = []
    monkeypatch.setattr(cache_module, "decode", load_while_another_packs)

    late = prepare(MNIST, root=tmp_path, cache=cache)

    assert late.fingerprint == winner[0].fingerprint
    assert len(packs_in(cache)) == 1


def test_abandoned_parts_are_swept_and_fresh_ones_left(tmp_path, write_mnist):
    """A killed packing leaves its folder behind; a living one's must not be touched."""
    write_mnist(tmp_path / "mnist")
    cache = tmp_path / "cache"
    name = pack_folder(MNIST, dataset("mnist").digest, cache=cache).name
    for token, age in (("old", 48 * 3600), ("new", 0)):
        part = cache / f".{name}.{token}.part"
        part.mkdir(parents=True)
        os.utime(part, (time.time() - age,) * 2)

    prepare(MNIST, root=tmp_path, cache=cache)

    assert packs_in(cache) == [f".{name}.new.part", name]


@pytest.mark.slow
def test_full_disk_is_said_and_leaves_nothing(tmp_path, pets):
    """With the space that is needed; the next attempt starts from a clean cache."""
    code = CONTEND.replace('print("ready", flush=True)\nsys.stdin.readline()\n', "")
    limited = subprocess.run(
        [sys.executable, "-c", code, pets["path"], str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600)),
    )

    assert "DataError: cannot write" in limited.stderr and "MB are needed" in limited.stderr
    assert packs_in(tmp_path / "cache") == []
    assert prepare(pets, cache=tmp_path / "cache").classes == 2


def packs_in(cache):
    return sorted(child.name for child in cache.iterdir() if child.name != "sources")


def test_cache_and_root_follow_the_environment(tmp_path, monkeypatch, write_mnist):
    """Clusters set both once for all jobs."""
    write_mnist(tmp_path / "data/mnist")
    monkeypatch.setenv("LTHSWEEP_CACHE", str(tmp_path / "packs"))
    monkeypatch.setenv("LTHSWEEP_DATA", str(tmp_path / "data"))

    prepare(MNIST)

    assert cache_folder() == tmp_path / "packs"
    assert open_packed(MNIST).folder.parent == tmp_path / "packs"


@given(st.integers(1, 12), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_moments_are_the_rounded_exact_ones(count, channels, seed):
    """Counted in whole numbers, so that they are the same for any order of the images."""
    images = np.random.default_rng(seed).integers(0, 256, (count, 3, 2, channels), dtype=np.uint8)

    mean, std = channel_moments(images)

    assert (mean, std) == channel_moments(images[::-1])
    np.testing.assert_allclose(mean, images.mean((0, 1, 2)) / 255, rtol=1e-12)
    np.testing.assert_allclose(std, images.std((0, 1, 2)) / 255, rtol=1e-9, atol=1e-12)
