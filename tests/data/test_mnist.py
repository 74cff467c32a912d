from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from lthsweep.data.cache import decode, prepare, verify
from lthsweep.data.mnist import parse_idx
from lthsweep.errors import DataError, MissingDataError


@pytest.mark.parametrize("folder", [".", "mnist", "MNIST/raw"])
@pytest.mark.parametrize("zipped", [True, False])
def test_files_are_found_in_the_usual_places(tmp_path, write_mnist, folder, zipped):
    """A user points at the folder they have, as torchvision or a browser left it."""
    arrays = write_mnist(tmp_path / folder, zipped=zipped)

    mnist = decode({"name": "mnist"}, tmp_path)

    assert (mnist.train_images[..., 0] == arrays["train-images-idx3-ubyte"]).all()
    assert (mnist.test_labels == arrays["t10k-labels-idx1-ubyte"]).all()
    assert mnist.train_images.shape == (40, 6, 5, 1)


def test_fashion_mnist_is_read_from_its_own_folder(tmp_path, write_mnist):
    """Its files have the names of MNIST's, which can be in the data root."""
    write_mnist(tmp_path)
    with pytest.raises(MissingDataError, match="lthsweep data prepare fashion_mnist"):
        decode({"name": "fashion_mnist"}, tmp_path)
    arrays = write_mnist(tmp_path / "FashionMNIST/raw", seed=8, name="fashion_mnist")

    packed = prepare({"name": "fashion_mnist"}, root=tmp_path, cache=tmp_path / "cache")

    assert (packed.train_images[..., 0] == arrays["train-images-idx3-ubyte"]).all()
    assert (packed.test_labels == arrays["t10k-labels-idx1-ubyte"]).all()
    assert packed.class_names[0] == "T-shirt/top"
    assert len(packed.class_names) == 10
    assert (
        packed.fingerprint != prepare({"name": "mnist"}, root=tmp_path, cache=tmp_path / "cache").fingerprint
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0\0", "too few"),
        (struct.pack(">HBBI", 0, 8, 3, 1), "too few"),
        (struct.pack(">HBBIII", 1, 8, 3, 0, 0, 0), "begins with 00010803"),
        (struct.pack(">HBBIII", 0, 9, 3, 0, 0, 0), "begins with 00000903"),
        (struct.pack(">HBBIII", 0, 8, 1, 0, 0, 0), "begins with 00000801"),
        (struct.pack(">HBBIII", 0, 8, 3, 1, 2, 3) + bytes(5), "holds 5"),
        (struct.pack(">HBBIII", 0, 8, 3, 1, 2, 3) + bytes(7), "holds 7"),
        (struct.pack(">HBBIII", 0, 8, 3, 2**31, 2**31, 4), "declares shape"),
    ],
)
def test_every_field_of_the_header_is_checked(content, message):
    """A file that only looks like IDX must not become pixels; the last one would be empty modulo 2**64."""
    with pytest.raises(DataError, match=message):
        parse_idx(content, 3, "somewhere")


def test_cut_gzip_is_refused(tmp_path, write_mnist):
    """An interrupted copy is reported as such."""
    write_mnist(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-200])

    with pytest.raises(DataError, match="damaged"):
        decode({"name": "mnist"}, tmp_path)


def test_missing_file_names_the_command_and_the_places(tmp_path):
    """The error is the instruction."""
    with pytest.raises(MissingDataError, match="lthsweep data prepare mnist") as caught:
        decode({"name": "mnist"}, tmp_path)
    assert str(tmp_path / "MNIST/raw") in str(caught.value)


def test_images_and_labels_of_different_number_are_refused(tmp_path, write_mnist):
    """Four files can come from two places."""
    write_mnist(tmp_path)
    labels = struct.pack(">HBBI", 0, 8, 1, 39) + bytes(39)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))

    with pytest.raises(DataError, match="40 training images and 39 labels"):
        prepare({"name": "mnist"}, root=tmp_path, cache=tmp_path / "cache")


@pytest.mark.realdata
def test_real_mnist_has_its_published_statistics(real_root, tmp_path):
    """Mean 0.1307 and deviation 0.3081 are the usual values for normalization."""
    options = {"name": "mnist"}

    packed = prepare(options, root=real_root, cache=tmp_path)

    assert packed.train_images.shape == (60000, 28, 28, 1)
    assert np.bincount(packed.test_labels)[:3].tolist() == [980, 1135, 1032]
    assert (round(packed.mean[0], 4), round(packed.std[0], 4)) == (0.1307, 0.3081)
    assert packed.fingerprint == "4457245dfad955f0e16f244a99c3a00d994e9b8bc7f8c60fc5470235c245dbab"
    assert verify(options, cache=tmp_path).name == "mnist"
