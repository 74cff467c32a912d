"""What an exception of an attempt means: its cause in words, the remedy, and whether another attempt can succeed.

Training is deterministic, so an exception of the run's own numbers, shapes or labels comes again. Another attempt can
succeed only where the machine decides: files, memory, and the GPU.
"""

from __future__ import annotations

import re

from lthsweep.errors import CorruptRecordError, DataError, LthsweepError
from lthsweep.launch.events import Failed

__all__ = ["failure_event"]

_OF_THE_DEVICE = re.compile(
    r"out of memory|can't allocate memory|not enough memory|\b(CUDA|HIP|cuDNN|NCCL) error|"
    r"\bCU(BLAS|DNN|SOLVER|SPARSE)_STATUS_",
    re.IGNORECASE,
)
"""Errors of memory and GPUs, which torch raises as RuntimeError."""

_ASSERTION = "device-side assert"
"""A check of a GPU's kernel failed: the values are wrong, and they are the same in the next attempt."""

_REMEDIES = (
    (
        "Expected more than 1 value per channel",
        "batch normalization cannot train on a batch of one sample; raise train.batch_size",
    ),
    (
        r"Target -?\d+ is out of bounds",
        "a label is larger than the number of outputs; check the classes of the data and the last layer of the network",
    ),
    (
        _ASSERTION,
        'most often a label or a token out of range; local.devices = "cpu" gives the error with its values',
    ),
    (
        r"shapes? cannot be multiplied|is invalid for input of size|must match the (existing )?size|size mismatch|"
        r"weight of size|can't be greater than actual input size|Output size is too small|same number of dimensions",
        "the network does not fit the shape of the data; check sweep.model, and data.size if the data has it",
    ),
    (
        r"out of memory|can't allocate memory|not enough memory",
        "lower train.batch_size or the number of workers",
    ),
)
"""Pattern in the text of a library's exception → the remedy."""


def failure_event(key: str, error: Exception) -> Failed:
    """Return the event of an attempt that raised an exception."""
    # A missing or unsuitable data set is an OSError by name only.
    of_the_machine = isinstance(error, OSError | MemoryError) and not isinstance(error, DataError)
    return Failed(
        key,
        cause=_cause(error),
        error=type(error).__name__,
        retry=(of_the_machine or _is_of_the_device(error)) and not isinstance(error, CorruptRecordError),
        infrastructure=of_the_machine,
    )


def _is_of_the_device(error: Exception) -> bool:
    """Return whether memory or a GPU failed. Types of torch are not compared: this module does not import it."""
    if isinstance(error, LthsweepError) or not isinstance(error, RuntimeError):
        return False
    return bool(_OF_THE_DEVICE.search(str(error))) and _ASSERTION not in str(error)


def _cause(error: Exception) -> str:
    """Return one line: a message of this package, or type and first line of another exception, with the remedy."""
    if isinstance(error, LthsweepError):
        return str(error)
    text = str(error)
    first = next(iter(text.strip().splitlines()), "")
    remedy = next((remedy for pattern, remedy in _REMEDIES if re.search(pattern, text)), "")
    return f"{type(error).__name__}: {first}{'; ' if remedy else ''}{remedy}"
