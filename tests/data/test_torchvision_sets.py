"""Data sets of torchvision by name, on small files in their true places."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from lthsweep.data import torchvision_sets
from lthsweep.data.cache import prepare
from lthsweep.errors import DataError, MissingDataError, UnknownNameError
from lthsweep.spec import spec_of


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    )


@pytest.fixture
def root(tmp_path):
    """Kuzushiji-MNIST with 20 and 10 images of 6 x 5 pixels, where torchvision looks for it."""
    words = np.random.default_rng(0)
    for part, count in (("train", 20), ("t10k", 10)):
        folder = tmp_path / "KMNIST/raw"
        write_idx(folder / f"{part}-images-idx3-ubyte", words.integers(0, 256, (count, 6, 5), np.uint8))
        write_idx(folder / f"{part}-labels-idx1-ubyte", (np.arange(count) % 10).astype(np.uint8))
    return tmp_path


def kmnist(root, **options):
    return prepare({"name": "torchvision:KMNIST", **options}, root=root, cache=root / "cache")


def test_a_set_of_torchvision_is_packed_as_it_is(root):
    """Pixels, labels and class names are torchvision's; gray images have one channel."""
    packed = kmnist(root)
    raw = (root / "KMNIST/raw/train-images-idx3-ubyte").read_bytes()[16:]

    assert packed.train_images.tobytes() == raw
    assert packed.shape == (1, 6, 5)
    assert packed.train_labels.tolist() == [*range(10), *range(10)]
    assert (len(packed.test_labels), packed.class_names[0]) == (10, "o")


def test_a_changed_file_is_another_source(root):
    """The files that torchvision opens are watched."""
    before = kmnist(root)
    file = root / "KMNIST/raw/t10k-labels-idx1-ubyte"
    file.write_bytes(file.read_bytes()[:-1] + b"\x00")

    after = kmnist(root)

    assert before.source != after.source
    assert after.test_labels[-1] == 0


def test_size_resamples_images(root):
    """As for the user's own images."""
    assert kmnist(root, size=4).shape == (1, 4, 4)


def test_images_without_parts_are_split(tmp_path, write_tree, make_picture):
    """One in five, as for the user's own images."""
    files = {
        f"{label}/{n}.jpg": make_picture(n, kind="JPEG") for label in ("Forest", "River") for n in range(10)
    }
    write_tree(tmp_path / "eurosat/2750", files)

    packed = prepare({"name": "torchvision:EuroSAT"}, root=tmp_path, cache=tmp_path / "cache")

    assert packed.class_names == ("Forest", "River")
    assert np.bincount(packed.train_labels).tolist() == [8, 8]
    assert packed.shape == (3, 12, 12)


def test_images_of_different_sizes_need_an_option(tmp_path, write_tree, make_picture):
    """A network reads one size."""
    files = {f"{label}/{n}.jpg": make_picture(9, (8 + n, 9), "JPEG") for label in "ab" for n in range(5)}
    write_tree(tmp_path / "eurosat/2750", files)
    options = {"name": "torchvision:EuroSAT"}

    with pytest.raises(DataError, match=r"set data\.size"):
        prepare(options, root=tmp_path, cache=tmp_path / "cache")
    assert prepare({**options, "size": 8}, root=tmp_path, cache=tmp_path / "cache").shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("FashionMnist", UnknownNameError, "did you mean 'FashionMNIST'"),
        ("CIFAR10", DataError, 'data.name = "cifar10"'),
        ("CocoDetection", UnknownNameError, "known:"),
        ("KMNIST", MissingDataError, "lthsweep data prepare torchvision:KMNIST"),
    ],
)
def test_a_set_that_cannot_be_read_is_named(tmp_path, name, error, message):
    """With the nearest name, the built-in data set, or the command."""
    with pytest.raises(error, match=message):
        prepare({"name": f"torchvision:{name}"}, root=tmp_path, cache=tmp_path / "cache")


def test_an_unknown_option_is_refused(root):
    """torchvision's class decides which there are."""
    with pytest.raises(DataError, match=r"edge.*\[sweep.data\]"):
        kmnist(root, edge=3)


def test_torchvision_downloads_below_the_data_root(tmp_path, monkeypatch):
    """Its own function runs, here against a host that has the four files."""
    from torchvision.datasets import mnist

    images, labels = np.zeros((10, 4, 4), np.uint8), np.arange(10, dtype=np.uint8)

    def fetch(url, download_root, filename, md5):
        from pathlib import Path

        write_idx(Path(download_root) / "plain", images if "images" in filename else labels)
        path = Path(download_root) / filename.removesuffix(".gz")
        path.write_bytes((Path(download_root) / "plain").read_bytes())
        Path(download_root, filename).write_bytes(gzip.compress(path.read_bytes()))

    monkeypatch.setattr(mnist, "download_and_extract_archive", fetch)

    packed = prepare({"name": "torchvision:KMNIST"}, root=tmp_path, cache=tmp_path / "cache", download=True)

    assert packed.train_labels.tolist() == list(range(10))


def test_every_set_is_a_class_of_torchvision():
    """A name that this version of torchvision lacks would fail for its user only."""
    import torchvision.datasets

    assert all(hasattr(torchvision.datasets, name) for name in torchvision_sets.SETS)


def test_the_file_takes_a_name_of_torchvision():
    """Its further keys are torchvision's."""
    read = spec_of(
        {
            "sweep": {
                "model": {"name": "lenet_300_100"},
                "data": {"name": "torchvision:EMNIST", "split": "letters", "size": 28},
            },
            "grid": {"sparsity": [0.5]},
        }
    )

    assert read.sweep.data.model_dump()["split"] == "letters"
