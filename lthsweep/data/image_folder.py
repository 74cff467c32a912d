"""Images of the user: class folders or a list of paths, as a folder, zip or tar; see `lthsweep.data.layouts`."""

from __future__ import annotations

from lthsweep.data.decoded import Decoded
from lthsweep.data.file_tree import open_tree
from lthsweep.data.files import Files
from lthsweep.data.images import SUFFIXES, decode_all
from lthsweep.data.layouts import decode_classes

__all__ = ["read"]

_READER = "image_folder 2"
"""Name and version of the rules that choose, order and decode the files; part of every run's key."""


def read(files: Files, *, path: str, size: int) -> Decoded:
    """Return the images of a folder or zip, cut to a centered square and resized.

    Args:
        files: gives the data root, in which a relative path is searched after the working directory.
        path: the folder or zip.
        size: edge in pixels.

    Raises:
        MissingDataError: if nothing exists at `path`.
        DataError: if the layout is not understood, or an image is unreadable.
    """
    with open_tree(files.at_path(path, "a folder of class folders")) as tree:
        return decode_classes(
            tree, SUFFIXES, "images", lambda tree, names: decode_all(tree, names, size), reader=_READER
        )
