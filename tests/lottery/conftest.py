"""The digits, packed once for each test process, and one thread, as a worker has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from lthsweep.data.packed import Packed
from tests.training.cases import small_digits


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """150 training and 60 test images of 8 × 8 pixels."""
    return small_digits(tmp_path_factory.mktemp("pack"))


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Two test processes on two cores with two threads each would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
