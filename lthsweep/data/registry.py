"""The data sets by name: what they are, where their files come from, and which module reads them.

Nothing is imported until a data set is read, so that `lthsweep data list` and the checks of a sweep's file
stay quick. Checksums are those the hosts publish; for MNIST, whose gzip files exist in several compressions
with the same content, the checksum of the unpacked file is known too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lthsweep.errors import look_up

__all__ = ["DATASETS", "DatasetEntry", "Source", "dataset"]

_MNIST_HOSTS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)


@dataclass(frozen=True)
class Source:
    """One published file of a data set.

    Attributes:
        file: its name, as the host gives it.
        urls: where it is published, in the order to try.
        md5: hex digest of the file as published.
        size: bytes of the file as published; also what a download may not exceed.
        unpacked: name of the file or folder that stands for it once unpacked.
        unpacked_md5: hex digest of what the gzip file holds, where files with other compressions go around.
    """

    file: str
    urls: tuple[str, ...]
    md5: str
    size: int
    unpacked: str
    unpacked_md5: str | None = None


@dataclass(frozen=True)
class DatasetEntry:
    """What is known of a data set without opening it.

    Attributes:
        name: as written in a sweep's file.
        loader: "module:function" of the reader, `(options, root) -> Decoded`.
        shape: (channels, height, width), at the default size; None where the user's files decide.
        classes, n_train, n_test: counts; None where the user's files decide.
        pixel_options: the options that change what is packed, and so name a pack of their own, with their
            defaults; None for one that must be given.
        sources: the published files; empty where there is nothing to download.
        folders: folders below the data root in which the files may lie, in the order to look.
        embedded: True if the data set comes with an installed package and needs no file.
        license: terms of use, in a few words.
        citation: where the data set was published.
        holds: what a sample is, in the plural; sounds are packed as pictures.
    """

    name: str
    loader: str
    shape: tuple[int, int, int] | None
    classes: int | None
    n_train: int | None
    n_test: int | None
    pixel_options: Mapping[str, int | float | str | None]
    sources: tuple[Source, ...]
    folders: tuple[str, ...]
    embedded: bool
    license: str
    citation: str
    holds: str = "images"

    @property
    def by_path(self) -> bool:
        """Whether the files are the user's own, named by a path."""
        return "path" in self.pixel_options


def _mnist_file(file: str, md5: str, size: int, unpacked_md5: str) -> Source:
    urls = tuple(host + file for host in _MNIST_HOSTS)
    return Source(file, urls, md5, size, file.removesuffix(".gz"), unpacked_md5)


def _own(name: str, holds: str, loader: str, options: Mapping[str, int | float | str]) -> DatasetEntry:
    """Files of the user's own: what is in them is known when they are read."""
    return DatasetEntry(
        name=name,
        loader=loader,
        shape=None,
        classes=None,
        n_train=None,
        n_test=None,
        pixel_options={"path": None, **options},
        sources=(),
        folders=(".",),
        embedded=False,
        license="that of the user's files",
        citation="the user's files",
        holds=holds,
    )


_TEXT: Mapping[str, int | float | str] = {"tokens": "word", "vocabulary": 20_000, "length": 64}

DATASETS: Mapping[str, DatasetEntry] = {
    "digits": DatasetEntry(
        name="digits",
        loader="lthsweep.data.digits:load",
        shape=(1, 32, 32),
        classes=10,
        n_train=1437,
        n_test=360,
        pixel_options={"size": 32},
        sources=(),
        folders=(),
        embedded=True,
        license="CC BY 4.0",
        citation="Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI 1998; in scikit-learn",
    ),
    "mnist": DatasetEntry(
        name="mnist",
        loader="lthsweep.data.mnist:load",
        shape=(1, 28, 28),
        classes=10,
        n_train=60_000,
        n_test=10_000,
        pixel_options={},
        sources=(
            _mnist_file(
                "train-images-idx3-ubyte.gz",
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                9_912_422,
                "6bbc9ace898e44ae57da46a324031adb",
            ),
            _mnist_file(
                "train-labels-idx1-ubyte.gz",
                "d53e105ee54ea40749a09fcbcd1e9432",
                28_881,
                "a25bea736e30d166cdddb491f175f624",
            ),
            _mnist_file(
                "t10k-images-idx3-ubyte.gz",
                "9fb629c4189551a2d022fa330f9573f3",
                1_648_877,
                "2646ac647ad5339dbf082846283269ea",
            ),
            _mnist_file(
                "t10k-labels-idx1-ubyte.gz",
                "ec29112dd5afa0611ce80d1b7f02629c",
                4_542,
                "27ae3e4e09519cfbb04c329615203637",
            ),
        ),
        folders=(".", "mnist", "MNIST", "mnist/raw", "MNIST/raw", "mnist/MNIST/raw"),
        embedded=False,
        license="CC BY-SA 3.0",
        citation="LeCun, Bottou, Bengio & Haffner, Proc. IEEE 86(11), 1998",
    ),
    "cifar10": DatasetEntry(
        name="cifar10",
        loader="lthsweep.data.cifar:load_cifar10",
        shape=(3, 32, 32),
        classes=10,
        n_train=50_000,
        n_test=10_000,
        pixel_options={},
        sources=(
            Source(
                "cifar-10-binary.tar.gz",
                ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
                "c32a1d4ab5d03f1284b67883e8d87530",
                170_052_171,
                "cifar-10-batches-bin",
            ),
        ),
        folders=(".", "cifar10", "CIFAR10", "cifar-10", "cifar"),
        embedded=False,
        license="none stated; research use with citation",
        citation="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
    ),
    "cifar100": DatasetEntry(
        name="cifar100",
        loader="lthsweep.data.cifar:load_cifar100",
        shape=(3, 32, 32),
        classes=100,
        n_train=50_000,
        n_test=10_000,
        pixel_options={},
        sources=(
            Source(
                "cifar-100-binary.tar.gz",
                ("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",),
                "03b5dce01913d631647c71ecec9e9cb8",
                168_513_733,
                "cifar-100-binary",
            ),
        ),
        folders=(".", "cifar100", "CIFAR100", "cifar-100", "cifar"),
        embedded=False,
        license="none stated; research use with citation",
        citation="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
    ),
    "tiny_imagenet": DatasetEntry(
        name="tiny_imagenet",
        loader="lthsweep.data.tiny_imagenet:load",
        shape=(3, 64, 64),
        classes=200,
        n_train=100_000,
        n_test=10_000,
        pixel_options={},
        sources=(
            Source(
                "tiny-imagenet-200.zip",
                (
                    "https://cs231n.stanford.edu/tiny-imagenet-200.zip",
                    "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
                ),
                "90528d7ca1a48142e341f4ef8d21d0de",
                248_100_043,
                "tiny-imagenet-200",
            ),
        ),
        folders=(".", "tiny_imagenet", "tiny-imagenet", "TinyImageNet", "tiny-imagenet-200"),
        embedded=False,
        license="ImageNet terms: non-commercial research",
        citation="Le & Yang, Tiny ImageNet Visual Recognition Challenge, Stanford CS 231N, 2015",
    ),
    "image_folder": _own("image_folder", "images", "lthsweep.data.image_folder:load", {"size": 32}),
    "text_csv": _own("text_csv", "texts", "lthsweep.data.text:load_csv", _TEXT),
    "text_folder": _own("text_folder", "texts", "lthsweep.data.text:load_folder", _TEXT),
    "audio_folder": _own(
        "audio_folder",
        "sounds",
        "lthsweep.data.audio:load",
        {"rate": 16_000, "seconds": 1.0, "mels": 64, "window": 400, "hop": 160, "decibels": 80},
    ),
}


def dataset(name: str) -> DatasetEntry:
    """Look up a data set by its name in the sweep's file.

    Raises:
        UnknownNameError: if there is none of that name; the message gives the nearest.
    """
    return look_up("data set", name, DATASETS)
