"""The data sets by name. An entry is the whole extension: everything else is derived from it.

From the entries come the allowed values of `[sweep.data] name` and the options of each set, error messages, the
reference page, the tables of docs/data.md, the commands `data list`, `data prepare` and `data verify`, and the check
that a network can read the data. A reader is imported only when its data set is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lthsweep.data.entry import Dataset, PublishedFile
from lthsweep.errors import look_up
from lthsweep.options import Option
from lthsweep.usercode import is_code, is_library

__all__ = ["DATASETS", "LIBRARIES", "dataset"]


def dataset(name: str) -> Dataset:
    """Return the data set of a name in the sweep's file, which can be a reader of the user or of a library.

    Raises:
        UnknownNameError: if the name is unknown; the message gives the nearest.
    """
    if is_code(name):
        return Dataset(name=name, reader=name, summary="A reader that you wrote.", gives="")
    if is_library(name):
        return Dataset(
            name=name, reader=LIBRARIES[name.partition(":")[0]], summary="A data set of a library."
        )
    return look_up("data set", name, DATASETS)


LIBRARIES: Mapping[str, str] = {"torchvision": "lthsweep.data.torchvision_sets:read"}
"""Prefix of the name in the file, as in `torchvision:SVHN` → the reader, which checks the rest of the name."""


_SIZE = "Side of the square images, in pixels; images of another size are resampled."
_DIGITS = tuple(str(digit) for digit in range(10))
_CROP_FLIP = ("crop-flip", "none", "crop")  # the usual augmentation of natural images is the default


def _published(hosts: tuple[str, ...], file: str, md5: str, size: int, unpacked: str) -> PublishedFile:
    return PublishedFile(file, tuple(host + file for host in hosts), md5, size, unpacked)


def _idx(hosts: tuple[str, ...], file: str, md5: str, size: int, unpacked_md5: str = "") -> PublishedFile:
    """A gzip file of the MNIST family."""
    dotted = file.replace("-idx", ".idx")  # as some mirrors unpack them
    return replace(
        _published(hosts, f"{file}.gz", md5, size, unpacked=file),
        unpacked_md5=unpacked_md5 or None,
        other_names=(dotted, f"{dotted}.gz"),
    )


_MNIST = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
_FASHION_MNIST = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)
_CIFAR = ("https://www.cs.toronto.edu/~kriz/",)
_TINY_IMAGENET = ("https://cs231n.stanford.edu/", "http://cs231n.stanford.edu/")

_MNIST_FILES = (
    _idx(
        _MNIST,
        "train-images-idx3-ubyte",
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        9_912_422,
        "6bbc9ace898e44ae57da46a324031adb",
    ),
    _idx(
        _MNIST,
        "train-labels-idx1-ubyte",
        "d53e105ee54ea40749a09fcbcd1e9432",
        28_881,
        "a25bea736e30d166cdddb491f175f624",
    ),
    _idx(
        _MNIST,
        "t10k-images-idx3-ubyte",
        "9fb629c4189551a2d022fa330f9573f3",
        1_648_877,
        "2646ac647ad5339dbf082846283269ea",
    ),
    _idx(
        _MNIST,
        "t10k-labels-idx1-ubyte",
        "ec29112dd5afa0611ce80d1b7f02629c",
        4_542,
        "27ae3e4e09519cfbb04c329615203637",
    ),
)
_FASHION_MNIST_FILES = (
    _idx(_FASHION_MNIST, "train-images-idx3-ubyte", "8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26_421_880),
    _idx(_FASHION_MNIST, "train-labels-idx1-ubyte", "25c81989df183df01b3e8a0aad5dffbe", 29_515),
    _idx(_FASHION_MNIST, "t10k-images-idx3-ubyte", "bef4ecab320f06d8554ea6380940ec79", 4_422_102),
    _idx(_FASHION_MNIST, "t10k-labels-idx1-ubyte", "bb300cfdad3c16e7a12a480ee83cd310", 5_148),
)

_TEXT_OPTIONS: Mapping[str, Option] = {
    "tokens": Option(
        "word",
        "How a text is split: words and punctuation, or single characters; always in lower case.",
        choices=("word", "char"),
    ),
    "vocabulary": Option(
        20_000,
        "Size of the vocabulary: the most frequent tokens of the training texts, one token for padding, and one for "
        "all other tokens.",
        least=3,
        most=65_536,
    ),
    "length": Option(
        64, "Tokens of a text; longer texts are cut, shorter ones are padded.", least=8, most=4096
    ),
}

_SOUND_OPTIONS: Mapping[str, Option] = {
    "rate": Option(
        16_000, "Samples per second; sounds of other rates are resampled.", least=1000, most=192_000
    ),
    "seconds": Option(
        1.0,
        "Length; longer sounds are cut to their middle, shorter ones are padded with silence.",
        least=0.01,
        most=600,
    ),
    "mels": Option(64, "Bands on the mel scale: the height of the image.", least=8, most=512),
    "window": Option(400, "Samples of a frame.", least=16, most=65_536),
    "hop": Option(160, "Samples from one frame to the next.", least=1, most=65_536),
    "decibels": Option(
        80, "Dynamic range below full scale; quieter parts count as silence.", least=20, most=140
    ),
}


_ENTRIES = (
    Dataset(
        name="digits",
        reader="lthsweep.data.digits:read",
        summary="Handwritten digits, 1,797 images that come with scikit-learn; nothing to download.",
        license="CC BY 4.0",
        citation="Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI 1998; in scikit-learn",
        shape=(1, 32, 32),
        form="1 × `size` × `size`",
        classes=10,
        n_train=1437,
        n_test=360,
        options={"size": Option(32, _SIZE, least=8, most=256)},
        validation=150,
        embedded=True,
    ),
    Dataset(
        name="mnist",
        reader="lthsweep.data.mnist:read",
        summary="MNIST: 60,000 and 10,000 handwritten digits of 28 × 28 pixels.",
        license="CC BY-SA 3.0",
        citation="LeCun, Bottou, Bengio & Haffner, Proc. IEEE 86(11), 1998",
        shape=(1, 28, 28),
        classes=10,
        n_train=60_000,
        n_test=10_000,
        validation=5000,
        class_names=_DIGITS,
        files=_MNIST_FILES,
        folders=(".", "mnist", "MNIST", "mnist/raw", "MNIST/raw", "mnist/MNIST/raw"),
    ),
    Dataset(
        name="fashion_mnist",
        reader="lthsweep.data.mnist:read",
        summary="Fashion-MNIST: 60,000 and 10,000 images of clothes, 28 × 28 pixels.",
        license="MIT",
        citation="Xiao, Rasul & Vollgraf, Fashion-MNIST, 2017, arXiv:1708.07747",
        shape=(1, 28, 28),
        classes=10,
        n_train=60_000,
        n_test=10_000,
        validation=5000,
        class_names=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        files=_FASHION_MNIST_FILES,
        # Not the data root itself: the files have the names of MNIST's, which can be there.
        folders=("fashion_mnist", "fashion-mnist", "FashionMNIST", "FashionMNIST/raw"),
    ),
    Dataset(
        name="cifar10",
        reader="lthsweep.data.cifar:read_cifar10",
        summary="CIFAR-10: 50,000 and 10,000 photographs of 32 × 32 pixels in 10 classes.",
        license="none stated; research use with citation",
        citation="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        shape=(3, 32, 32),
        classes=10,
        n_train=50_000,
        n_test=10_000,
        validation=5000,
        augments=_CROP_FLIP,
        files=(
            _published(
                _CIFAR,
                "cifar-10-binary.tar.gz",
                "c32a1d4ab5d03f1284b67883e8d87530",
                170_052_171,
                "cifar-10-batches-bin",
            ),
        ),
        folders=(".", "cifar10", "CIFAR10", "cifar-10", "cifar"),
    ),
    Dataset(
        name="cifar100",
        reader="lthsweep.data.cifar:read_cifar100",
        summary="CIFAR-100: 50,000 and 10,000 photographs of 32 × 32 pixels in 100 classes.",
        license="none stated; research use with citation",
        citation="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        shape=(3, 32, 32),
        classes=100,
        n_train=50_000,
        n_test=10_000,
        validation=5000,
        augments=_CROP_FLIP,
        files=(
            _published(
                _CIFAR,
                "cifar-100-binary.tar.gz",
                "03b5dce01913d631647c71ecec9e9cb8",
                168_513_733,
                "cifar-100-binary",
            ),
        ),
        folders=(".", "cifar100", "CIFAR100", "cifar-100", "cifar"),
    ),
    Dataset(
        name="tiny_imagenet",
        reader="lthsweep.data.tiny_imagenet:read",
        summary="Tiny ImageNet: 100,000 and 10,000 photographs of 64 × 64 pixels in 200 classes.",
        license="ImageNet terms: non-commercial research",
        citation="Le & Yang, Tiny ImageNet Visual Recognition Challenge, Stanford CS 231N, 2015",
        shape=(3, 64, 64),
        classes=200,
        n_train=100_000,
        n_test=10_000,
        validation=5000,
        augments=_CROP_FLIP,
        files=(
            _published(
                _TINY_IMAGENET,
                "tiny-imagenet-200.zip",
                "90528d7ca1a48142e341f4ef8d21d0de",
                248_100_043,
                "tiny-imagenet-200",
            ),
        ),
        folders=(".", "tiny_imagenet", "tiny-imagenet", "TinyImageNet", "tiny-imagenet-200"),
    ),
    Dataset(
        name="image_folder",
        reader="lthsweep.data.image_folder:read",
        summary="Your own images: a folder, zip or tar with one folder of images per class, or a CSV file of paths and "
        "labels; see [Data](data.md#your-own-images).",
        form="3 × `size` × `size`",
        options={"size": Option(32, _SIZE, least=8, most=1024)},
        own_files=True,
    ),
    Dataset(
        name="text_csv",
        reader="lthsweep.data.text_files:read_csv",
        summary="Your own texts: CSV files with the columns label and text; see [Text and audio](text-and-audio.md).",
        form="`length` tokens",
        options=_TEXT_OPTIONS,
        augments=(),
        own_files=True,
        gives="texts",
        samples="texts",
    ),
    Dataset(
        name="text_folder",
        reader="lthsweep.data.text_files:read_folder",
        summary="Your own texts: one `.txt` file each, in one folder per class; see "
        "[Text and audio](text-and-audio.md).",
        form="`length` tokens",
        options=_TEXT_OPTIONS,
        augments=(),
        own_files=True,
        gives="texts",
        samples="texts",
    ),
    Dataset(
        name="audio_folder",
        reader="lthsweep.data.audio:read",
        summary="Your own sounds in one folder per class, read as log-mel images by every network for images; see "
        "[Text and audio](text-and-audio.md).",
        form="1 × `mels` × frames",
        options=_SOUND_OPTIONS,
        augments=("none", "shift", "crop"),  # a sound played backward is another sound: no flips
        own_files=True,
        samples="sounds",
    ),
)

DATASETS: Mapping[str, Dataset] = {entry.name: entry for entry in _ENTRIES}
"""Name in the file → data set, in the order of the documentation."""
