"""Classification data sets of torchvision by name, `data.name = "torchvision:FashionMNIST"`.

torchvision finds, checks and downloads the files, below the data root as always. Its classes declare their parts in
different ways, which `SETS` lists. Sets of other tasks (detection, segmentation, video) are not in it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lthsweep.data.decoded import Decoded, SampleArray
from lthsweep.data.files import Files, prepare_command
from lthsweep.data.images import centered_square
from lthsweep.data.opened_files import opened_files, source_of_files
from lthsweep.data.split import test_split
from lthsweep.errors import DataError, MissingDataError, look_up

__all__ = ["SETS", "download", "read"]

_Parts = Sequence[Mapping[str, object]]
"""Arguments of the training part and of the test part; of a single part from which the test set is split."""

_TRAIN: _Parts = ({"train": True}, {"train": False})
_WHOLE: _Parts = ({},)


def _splits(train: str, test: str) -> _Parts:
    return ({"split": train}, {"split": test})


SETS: Mapping[str, _Parts] = {
    **dict.fromkeys(("EMNIST", "FashionMNIST", "KMNIST", "MNIST", "QMNIST", "USPS"), _TRAIN),
    **dict.fromkeys(
        ("Country211", "DTD", "Flowers102", "Food101", "GTSRB", "PCAM", "RenderedSST2", "STL10", "SVHN"),
        _splits("train", "test"),
    ),
    **dict.fromkeys(("CLEVRClassification", "ImageNet", "Imagenette"), _splits("train", "val")),
    **dict.fromkeys(("FGVCAircraft", "OxfordIIITPet"), _splits("trainval", "test")),
    "Places365": _splits("train-standard", "val"),
    "StanfordCars": _splits("train", "test"),
    **dict.fromkeys(("Caltech101", "Caltech256", "EuroSAT", "SUN397"), _WHOLE),
}
"""Name of a class in `torchvision.datasets` → its parts. CIFAR, whose files there are pickles, is built in."""

_BUILT_IN = {"CIFAR10": "cifar10", "CIFAR100": "cifar100"}
_TOTAL_LIMIT = 32 << 30  # bytes of all images


def read(files: Files, *, size: int = 0, **options: object) -> Decoded:
    """Return a data set of torchvision.

    Args:
        files: its data set has the name "torchvision:NAME"; its root is searched.
        size: edge in pixels of centered squares; 0 if all images have one size, which they keep.
        options: further arguments of torchvision's class, such as `split = "letters"` of EMNIST.

    Returns:
        Gray images with one channel, all others as RGB; classes in the order of their labels. Without a test part,
        one image in five becomes the test set.

    Raises:
        UnknownNameError: if torchvision has no such set.
        MissingDataError: if its files are not below the data root.
        DataError: if torchvision refuses the options or the files, or the images have different sizes and `size` is 0.
    """
    name = _name_of(files)
    listed = time.time_ns()
    with opened_files() as opened:
        parts = [_part(files, name, {**options, **part}) for part in SETS[name]]
        classes = _classes(parts)
        arrays = [_arrays(part, size, name) for part in parts]
    gray = all(images.ndim == 3 for images, _ in arrays)
    images = [_with_channels(images, gray=gray) for images, _ in arrays]
    numbers = [_numbers(labels, classes) for _, labels in arrays]
    if len(parts) == 1:
        kept, held_out = test_split(numbers[0])
        images = [images[0][kept], images[0][held_out]]
        numbers = [numbers[0][kept], numbers[0][held_out]]
    decoded = Decoded(images[0], numbers[0], images[1], numbers[1], tuple(classes.values()))
    source = source_of_files(files.dataset.name, decoded, opened, files.root, listed)
    return replace(decoded, source=source)


def download(files: Files, options: Mapping[str, object]) -> None:
    """Let torchvision download the files of a set below the data root.

    Raises:
        UnknownNameError: if torchvision has no such set.
        DataError: if the download fails, or the set has to be downloaded by hand.
    """
    name = _name_of(files)
    given = {key: value for key, value in options.items() if key != "size"}
    for part in SETS[name]:
        try:
            _class_of(name)(root=str(files.root), download=True, **given, **part)
        except Exception as error:
            raise DataError(
                f"torchvision cannot download {name}: {error}; get its files by hand and put them below {files.root}, "
                f"as torchvision's documentation of {name} shows"
            ) from None


def _name_of(files: Files) -> str:
    name = files.dataset.name.partition(":")[2]
    if name in _BUILT_IN:
        raise DataError(f'torchvision:{name} is built in: write data.name = "{_BUILT_IN[name]}"')
    look_up("data set of torchvision", name, SETS)
    return name


def _class_of(name: str) -> Any:
    import torchvision.datasets  # slow to import: only when such a set is read

    return getattr(torchvision.datasets, name)


def _part(files: Files, name: str, options: Mapping[str, object]) -> Any:
    try:
        return _class_of(name)(root=str(files.root), **options)
    except TypeError as error:
        raise DataError(f"torchvision:{name}: {error}; correct the keys of [sweep.data]") from None
    except Exception as error:
        if "download" in str(error) or isinstance(error, FileNotFoundError):
            raise MissingDataError(
                f"torchvision:{name} is not below {files.root} ({error}); run "
                f"`{prepare_command({'name': files.dataset.name})}` where there is a network"
            ) from None
        raise DataError(f"torchvision:{name}: {error}") from None


def _classes(parts: Sequence[Any]) -> dict[int, str]:
    """Label in torchvision → class name, for the labels that occur in the training part, in their order."""
    labels = sorted({int(label) for label in _labels(parts[0])})
    names = getattr(parts[0], "classes", None) or getattr(parts[0], "categories", None)
    if isinstance(names, Sequence) and len(names) > labels[-1]:
        return {label: _plain(names[label]) for label in labels}
    return {label: str(label) for label in labels}


def _plain(name: object) -> str:
    """A class name; ImageNet's are lists of synonyms."""
    return str(name[0]) if isinstance(name, tuple | list) else str(name)


def _labels(part: Any) -> Sequence[int]:
    for attribute in ("targets", "labels", "_labels", "y"):
        labels = getattr(part, attribute, None)
        if labels is not None and len(labels) == len(part):
            return [int(label) for label in labels]
    return [int(part[row][1]) for row in range(len(part))]


def _arrays(part: Any, size: int, name: str) -> tuple[SampleArray, list[int]]:
    """Images as uint8 [N, H, W] if all are gray, else [N, H, W, 3], and torchvision's labels."""
    images: list[NDArray[np.uint8]] = []
    labels = []
    gray = True
    for image, label in (part[row] for row in range(len(part))):
        gray = gray and image.mode == "L"
        square = centered_square(image.convert("RGB"), size) if size else image.convert("RGB")
        images.append(np.asarray(square, np.uint8))
        labels.append(int(label))
        if images[-1].shape != images[0].shape:
            raise DataError(
                f"torchvision:{name} has images of {_sides(images[0])} and {_sides(images[-1])} pixels; set data.size"
            )
        if len(images) == 1 and images[0].nbytes * len(part) > _TOTAL_LIMIT:
            needed = images[0].nbytes * len(part) >> 30
            raise DataError(
                f"torchvision:{name}: {len(part):,} images need {needed} GiB; set a smaller data.size"
            )
    stacked = np.stack(images)
    return (stacked[..., 0] if gray else stacked), labels


def _sides(image: NDArray[np.uint8]) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"


def _with_channels(images: SampleArray, *, gray: bool) -> SampleArray:
    """[N, H, W, 1] of a gray set; [N, H, W, 3] of any part of another set."""
    if images.ndim == 4:
        return images
    return images[..., None] if gray else np.repeat(images[..., None], 3, axis=-1)


def _numbers(labels: Sequence[int], classes: Mapping[int, str]) -> NDArray[np.int64]:
    number = {label: index for index, label in enumerate(classes)}
    unknown = sorted(set(labels) - set(number))
    if unknown:
        raise DataError(f"the test part has label {unknown[0]}, which no training image has")
    return np.array([number[label] for label in labels], np.int64)
