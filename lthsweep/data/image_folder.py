"""Any folder of class folders, or a zip of one.

Three layouts are understood; see `lthsweep.data.class_folders`. Where the files make no split of their own, one image
in five becomes the test set.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lthsweep.data.class_folders import class_numbers, files_of_classes, hold_out_test, own_path
from lthsweep.data.decoded import Decoded
from lthsweep.data.pictures import SUFFIXES, decode_all
from lthsweep.data.trees import open_tree
from lthsweep.errors import DataError

__all__ = ["load"]

_SIZES = (8, 1024)


def load(options: Mapping[str, Any], root: Path) -> Decoded:
    """Read, cut to a centred square and resize the images of a folder or zip.

    Args:
        options: `path`, a folder or zip; `size`, edge in pixels, 8..1024 (default 32).
        root: where a relative path is looked for when it is not found below the working directory.

    Returns:
        RGB images; classes in sorted order of the training folders' names, images in sorted order of (class,
        name).

    Raises:
        MissingDataError: if there is nothing at `path`.
        DataError: if the layout is none of those understood, or an image is unreadable.
    """
    size = int(options.get("size", 32))
    if not _SIZES[0] <= size <= _SIZES[1]:
        raise DataError(f"data.size = {size}; it must be within {_SIZES[0]}..{_SIZES[1]}")
    path = own_path(options, root, "a folder of class folders")
    with open_tree(path) as tree:
        train, test = files_of_classes(tree.names(), str(path), SUFFIXES, "images")
        classes, labels, test_labels = class_numbers(train, test, str(path), "images")
        images = decode_all(tree, [name for _, name in train], size, str(path))
        if test:
            test_images = decode_all(tree, [name for _, name in test], size, str(path))
        else:
            kept, held_out = hold_out_test(labels)
            test_images, test_labels = images[held_out], labels[held_out]
            images, labels = images[kept], labels[kept]
        return Decoded(images, labels, test_images, test_labels, classes, stamps=(tree.stamp(),))
