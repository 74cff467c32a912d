"""Data sets from the user's reader, `data.name = "my_data:load"`.

The contract is that of every reader: `load(files, **options)` returns `Decoded`, or a tuple of its first five fields
(training images, training labels, test images, test labels, class names). The options are the further keys of
`[sweep.data]`; `files.root` is the data root.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lthsweep.data.decoded import Decoded
from lthsweep.data.files import Files
from lthsweep.data.opened_files import opened_files, source_of_files
from lthsweep.errors import DataError, LthsweepError
from lthsweep.usercode import load

__all__ = ["read_with_user_code"]

_FIELDS = 5


def read_with_user_code(name: str, files: Files, options: Mapping[str, object]) -> Decoded:
    """Return the data set that a reader of the user produces.

    Args:
        name: as in the file, "module:function@HASH".
        files: first argument of the reader.
        options: keyword arguments of the reader.

    Raises:
        CodeError: if the code is not allowed, not found, or changed since the name was written.
        DataError: if the reader does not accept the options, fails, or returns something else.
    """
    reader = load(name)
    try:
        inspect.signature(reader).bind(files, **options)
    except TypeError as error:
        keys = ", ".join(f"data.{key}" for key in options) or "none"
        raise DataError(
            f"data {name!r} cannot be called as load(files, **options) with the options of the file ({keys}): {error}"
        ) from None
    listed = time.time_ns()
    try:
        with opened_files() as opened:
            result = reader(files, **options)
    except LthsweepError:
        raise
    except Exception as error:
        raise DataError(f"data {name!r} fails: {type(error).__name__}: {error}") from error
    decoded = _decoded(name, result)
    return (
        decoded
        if decoded.source
        else replace(decoded, source=source_of_files(name, decoded, opened, files.root, listed))
    )


def _decoded(name: str, result: object) -> Decoded:
    if isinstance(result, tuple) and len(result) == _FIELDS:
        train_images, train_labels, test_images, test_labels, class_names = result
        return Decoded(
            np.asarray(train_images),
            _labels(train_labels),
            np.asarray(test_images),
            _labels(test_labels),
            tuple(map(str, class_names)),
        )
    if not isinstance(result, Decoded):
        raise DataError(
            f"data {name!r} returns {type(result).__name__}; return (train_images, train_labels, test_images, "
            f"test_labels, class_names), with images as uint8 [N,H,W,C]"
        )
    return result


def _labels(values: object) -> NDArray[np.int64]:
    """Integers of any width as int64; other types are left for `Decoded.check` to refuse."""
    labels = np.asarray(values)
    return labels.astype(np.int64) if np.issubdtype(labels.dtype, np.integer) else labels
