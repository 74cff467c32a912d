"""The data sets by name. An entry is the whole extension: everything else is derived from it.

From the entries come the allowed values of `[sweep.data] name` and the options of each set, error messages, the
reference page, the tables of docs/data.md, the commands `data list`, `data prepare` and `data verify`, and the check
that a network can read the data. A reader is imported only when its data set is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from pydantic import TypeAdapter

from lthsweep.errors import look_up
from lthsweep.options import Option
from lthsweep.usercode import is_code

__all__ = ["COMMON_OPTIONS", "DATASETS", "DataOptions", "Dataset", "PublishedFile", "dataset"]


@dataclass(frozen=True, slots=True)
class DataOptions:
    """How samples are split and presented: applied on the fly, so none of these options changes a pack.

    The fields are described in docs/the-file.md. Texts have no augmentation, padding or normalization: their batches
    are token numbers.

    Attributes:
        train_images: number of samples to train on; 0 for all that are not held out.
    """

    validation: int
    train_images: int = 0
    augment: str = "none"
    padding: int = 0
    normalize: str = "none"

    @classmethod
    def of(cls, table: Mapping[str, object]) -> DataOptions:
        """The options of a `[sweep.data]` table with every default written out; other keys are ignored."""
        return _DATA_OPTIONS.validate_python(dict(table))


_DATA_OPTIONS = TypeAdapter(DataOptions)

COMMON_OPTIONS = frozenset({"name", "label", *(field.name for field in fields(DataOptions))})
"""Keys of `[sweep.data]` that every data set has."""


@dataclass(frozen=True)
class PublishedFile:
    """One published file of a data set.

    Attributes:
        file: its name, as the host gives it.
        urls: addresses in the order to try.
        md5: hex digest of the file, as the host publishes it.
        size: bytes of the file; a download that exceeds it is stopped.
        unpacked: name of the file or folder that can replace it once unpacked.
        unpacked_md5: hex digest of the content of a gzip file that exists in several compressions; None if unknown.
    """

    file: str
    urls: tuple[str, ...]
    md5: str
    size: int
    unpacked: str
    unpacked_md5: str | None = None


@dataclass(frozen=True)
class Dataset:
    """Properties of a data set that are known before it is read.

    Attributes:
        name: as written in a sweep's file.
        reader: "module:function" of `(files, **options) -> Decoded`; see `lthsweep.data.files.Files`.
        summary: the sentences of the reference page.
        license: terms of use, in a few words.
        citation: where the data set was published.
        shape: (channels, height, width) at the default options; None if the user's files decide.
        classes, n_train, n_test: counts; None if the user's files decide.
        class_names: one per label, where the files do not contain them.
        options: the options that change the packed data. Each combination of values has a separate pack.
        validation: default number of training samples held out.
        augments: allowed values of `augment`, the default first; empty for texts.
        files: the published files; empty if nothing can be downloaded.
        folders: folders below the data root in which the files can be, in the order of search.
        embedded: True if the data set comes with an installed package.
        own_files: True if the user names a path.
        gives: the kind of network that reads it, "images" or "texts"; "" if unknown.
        samples: what a sample is, in the plural; sounds are packed as images.
    """

    name: str
    reader: str
    summary: str
    license: str
    citation: str
    shape: tuple[int, int, int] | None = None
    classes: int | None = None
    n_train: int | None = None
    n_test: int | None = None
    class_names: tuple[str, ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)
    validation: int = 5000
    augments: tuple[str, ...] = ("none", "crop", "crop-flip")
    files: tuple[PublishedFile, ...] = ()
    folders: tuple[str, ...] = ()
    embedded: bool = False
    own_files: bool = False
    gives: str = "images"
    samples: str = "images"


def dataset(name: str) -> Dataset:
    """Return the data set of a name in the sweep's file, which can be a reader of the user.

    Raises:
        UnknownNameError: if the name is unknown; the message gives the nearest.
    """
    return _user_reader(name) if is_code(name) else look_up("data set", name, DATASETS)


def _user_reader(name: str) -> Dataset:
    """The entry of "module:function", a reader that the user wrote."""
    return Dataset(
        name=name,
        reader=name,
        summary="A reader that you wrote.",
        license="that of the user's files",
        citation="the user's files",
        folders=(".",),
        validation=0,
        gives="",
    )


_SIZE = "Side of the square images, in pixels; images of another size are resampled."
_DIGITS = tuple(str(digit) for digit in range(10))
_CROP_FLIP = ("crop-flip", "none", "crop")  # the usual augmentation of natural images is the default


def _idx_files(hosts: tuple[str, ...], *files: tuple[str, str, int, str | None]) -> tuple[PublishedFile, ...]:
    """Published IDX files, each given as (name, md5, bytes, md5 of the content)."""
    return tuple(
        PublishedFile(name, tuple(host + name for host in hosts), md5, size, name.removesuffix(".gz"), inner)
        for name, md5, size, inner in files
    )


def _archive(file: str, md5: str, size: int, folder: str, *hosts: str) -> tuple[PublishedFile, ...]:
    """One published archive, and the folder that it unpacks to."""
    return (PublishedFile(file, tuple(host + file for host in hosts), md5, size, folder),)


_MNIST_FILES = _idx_files(
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    ),
    (
        "train-images-idx3-ubyte.gz",
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        9_912_422,
        "6bbc9ace898e44ae57da46a324031adb",
    ),
    (
        "train-labels-idx1-ubyte.gz",
        "d53e105ee54ea40749a09fcbcd1e9432",
        28_881,
        "a25bea736e30d166cdddb491f175f624",
    ),
    (
        "t10k-images-idx3-ubyte.gz",
        "9fb629c4189551a2d022fa330f9573f3",
        1_648_877,
        "2646ac647ad5339dbf082846283269ea",
    ),
    (
        "t10k-labels-idx1-ubyte.gz",
        "ec29112dd5afa0611ce80d1b7f02629c",
        4_542,
        "27ae3e4e09519cfbb04c329615203637",
    ),
)

_FASHION_FILES = _idx_files(
    ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26_421_880, None),
    ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe", 29_515, None),
    ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79", 4_422_102, None),
    ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310", 5_148, None),
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


def _own_files(
    name: str,
    reader: str,
    summary: str,
    options: Mapping[str, Option],
    *,
    gives: str = "images",
    samples: str,
    augments: tuple[str, ...],
) -> Dataset:
    """Files of the user: their content is known when they are read."""
    return Dataset(
        name=name,
        reader=reader,
        summary=summary,
        license="that of the user's files",
        citation="the user's files",
        options=options,
        validation=0,
        augments=augments,
        folders=(".",),
        own_files=True,
        gives=gives,
        samples=samples,
    )


_ENTRIES = (
    Dataset(
        name="digits",
        reader="lthsweep.data.digits:read",
        summary="Handwritten digits, 1,797 images that come with scikit-learn; nothing to download.",
        license="CC BY 4.0",
        citation="Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI 1998; in scikit-learn",
        shape=(1, 32, 32),
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
        class_names=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        files=_FASHION_FILES,
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
        augments=_CROP_FLIP,
        files=_archive(
            "cifar-10-binary.tar.gz",
            "c32a1d4ab5d03f1284b67883e8d87530",
            170_052_171,
            "cifar-10-batches-bin",
            "https://www.cs.toronto.edu/~kriz/",
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
        augments=_CROP_FLIP,
        files=_archive(
            "cifar-100-binary.tar.gz",
            "03b5dce01913d631647c71ecec9e9cb8",
            168_513_733,
            "cifar-100-binary",
            "https://www.cs.toronto.edu/~kriz/",
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
        augments=_CROP_FLIP,
        files=_archive(
            "tiny-imagenet-200.zip",
            "90528d7ca1a48142e341f4ef8d21d0de",
            248_100_043,
            "tiny-imagenet-200",
            "https://cs231n.stanford.edu/",
            "http://cs231n.stanford.edu/",
        ),
        folders=(".", "tiny_imagenet", "tiny-imagenet", "TinyImageNet", "tiny-imagenet-200"),
    ),
    _own_files(
        "image_folder",
        "lthsweep.data.image_folder:read",
        "Your own images: a folder, or a zip of it, with one folder of images per class.",
        {"size": Option(32, _SIZE, least=8, most=1024)},
        samples="images",
        augments=("none", "crop", "crop-flip"),
    ),
    _own_files(
        "text_csv",
        "lthsweep.data.text:read_csv",
        "Your own texts: CSV files with the columns label and text; see [Text and audio](text-and-audio.md).",
        _TEXT_OPTIONS,
        gives="texts",
        samples="texts",
        augments=(),
    ),
    _own_files(
        "text_folder",
        "lthsweep.data.text:read_folder",
        "Your own texts: one `.txt` file each, in one folder per class; see [Text and audio](text-and-audio.md).",
        _TEXT_OPTIONS,
        gives="texts",
        samples="texts",
        augments=(),
    ),
    _own_files(
        "audio_folder",
        "lthsweep.data.audio:read",
        "Your own sounds in one folder per class, read as log-mel images by every network for images; see "
        "[Text and audio](text-and-audio.md).",
        _SOUND_OPTIONS,
        samples="sounds",
        augments=("none", "shift", "crop"),  # a sound played backward is another sound: no flips
    ),
)

DATASETS: Mapping[str, Dataset] = {entry.name: entry for entry in _ENTRIES}
"""Name in the file → data set, in the order of the documentation."""
