"""Tiny ImageNet from its zip or the unpacked folder; its labeled validation images are the test set.

Source: Le & Yang, "Tiny ImageNet Visual Recognition Challenge", Stanford CS 231N, 2015.
"""

from __future__ import annotations

import numpy as np

from lthsweep.data.decoded import Decoded
from lthsweep.data.file_tree import FileTree, open_tree
from lthsweep.data.files import Files
from lthsweep.data.images import decode_all
from lthsweep.data.parts import Part, decoded_parts
from lthsweep.errors import DataError

__all__ = ["read"]

_SIZE = 64
_FOLDER = "tiny-imagenet-200"
_ANNOTATIONS = "val/val_annotations.txt"


def read(files: Files) -> Decoded:
    """Return 64x64 RGB images; classes are WordNet ids in sorted order, gray images become RGB.

    Raises:
        MissingDataError: if neither the zip nor the folder is on this machine.
        DataError: if a file is damaged or the annotations do not fit.
    """
    path = files.require(f"{_FOLDER}.zip", _FOLDER)
    with open_tree(path) as tree:
        names = {name.removeprefix(f"{_FOLDER}/"): name for name in tree.names}
        train = sorted(
            name for name in names if name.startswith("train/") and name.lower().endswith((".jpeg", ".jpg"))
        )
        classes = tuple(sorted({name.split("/")[1] for name in train}))
        number = {wnid: index for index, wnid in enumerate(classes)}
        if not train or _ANNOTATIONS not in names:
            raise DataError(f"{path} has no train/ images or no {_ANNOTATIONS}; remove it and get it again")
        test = _annotated(tree, names[_ANNOTATIONS])
        unknown = [file for file, wnid in test if wnid not in number or f"val/images/{file}" not in names]
        if unknown:
            raise DataError(
                f"{path}: {_ANNOTATIONS} lists {unknown[0]!r}, whose image or class is missing; get it again"
            )
        training = Part(
            [names[name] for name in train],
            np.array([number[name.split("/")[1]] for name in train], np.int64),
        )
        testing = Part(
            [names[f"val/images/{file}"] for file, _ in test],
            np.array([number[wnid] for _, wnid in test], np.int64),
        )
        return decoded_parts(
            tree, "tiny_imagenet 1", classes, training, testing, lambda part: decode_all(tree, part, _SIZE)
        )


def _annotated(tree: FileTree, name: str) -> list[tuple[str, str]]:
    """(file, WordNet id) of the annotated images, sorted by file."""
    pairs = []
    for row, line in enumerate(tree.read(name).decode("utf-8", errors="replace").splitlines(), start=1):
        fields = line.split("\t")
        if len(fields) < 2:
            raise DataError(
                f"{tree.path}: line {row} of {_ANNOTATIONS} has no class; remove it and get it again"
            )
        pairs.append((fields[0], fields[1]))
    return sorted(pairs)
