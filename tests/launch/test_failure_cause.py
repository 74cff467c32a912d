"""Only errors of the machine are tried again; errors of the run come with their remedy."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lthsweep.errors import (
    CanceledError,
    CorruptRecordError,
    DataError,
    MissingDataError,
    PruningError,
    StoreError,
)
from lthsweep.launch.failure_cause import failure_event


def raised(function):
    with pytest.raises(Exception) as caught:
        function()
    return caught.value


def batch_of_one():
    nn.Sequential(nn.Conv2d(1, 4, 8), nn.BatchNorm2d(4))(torch.zeros(1, 1, 8, 8))


def label_out_of_range():
    nn.functional.cross_entropy(torch.zeros(2, 3), torch.tensor([0, 3]))


def wrong_features():
    nn.Linear(10, 2)(torch.zeros(4, 9))


def wrong_channels():
    nn.Conv2d(3, 8, 3)(torch.zeros(4, 1, 8, 8))


def small_image():
    nn.Conv2d(1, 8, 9)(torch.zeros(4, 1, 8, 8))


def wrong_reshape():
    torch.zeros(4, 9).view(4, 8)


@pytest.mark.parametrize(
    ("function", "remedy"),
    [
        (batch_of_one, "train.batch_size"),
        (label_out_of_range, "classes of the data"),
        (wrong_features, "sweep.model"),
        (wrong_channels, "sweep.model"),
        (small_image, "data.size"),
        (wrong_reshape, "sweep.model"),
    ],
)
def test_errors_of_torch_that_repeat_have_a_remedy(function, remedy):
    """The next attempt would compute the same numbers."""
    error = raised(function)

    event = failure_event("k", error)

    assert not event.retry
    assert not event.infrastructure
    assert type(error).__name__ in event.cause
    assert remedy in event.cause
    assert "\n" not in event.cause


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        RuntimeError("x"),
        KeyError("x"),
        AttributeError("'NoneType' object has no attribute 'zero_'"),
        AssertionError(),
        PruningError("x"),
        DataError("x"),
        MissingDataError("x"),
        CanceledError("x"),
        CorruptRecordError("x"),
        RuntimeError("CUDA error: device-side assert triggered"),
    ],
    ids=repr,
)
def test_other_errors_are_not_tried_again(error):
    """Training is deterministic."""
    event = failure_event("k", error)

    assert not event.retry
    assert event.error == type(error).__name__


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        ConnectionResetError("x"),
        MemoryError(),
        StoreError("x"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: an illegal memory access was encountered\nmore lines"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"),
    ],
    ids=repr,
)
def test_errors_of_the_machine_are_tried_again(error):
    """Another attempt, or another node, can succeed."""
    assert failure_event("k", error).retry
