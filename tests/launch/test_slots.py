"""Workers are placed on cores and devices by the `[local]` table."""

from __future__ import annotations

import pytest

from lthsweep.errors import LaunchError
from lthsweep.launch.slots import Slot, place_workers


def place(**changes):
    given = {
        "workers": "auto",
        "threads": 1,
        "devices": "auto",
        "pin": True,
        "cores": [0, 1, 2, 3],
        "gpus": 0,
    }
    return place_workers(**{**given, **changes})


def test_the_default_is_one_pinned_worker_per_core():
    """Without a GPU."""
    assert place() == [Slot("cpu", (core,), 1) for core in (0, 1, 2, 3)]


def test_threads_take_adjacent_cores():
    """They share a cache."""
    assert place(threads=2) == [Slot("cpu", (0, 1), 2), Slot("cpu", (2, 3), 2)]


def test_more_threads_than_cores_give_one_worker():
    """It is not pinned."""
    assert place(threads=8) == [Slot("cpu", (), 8)]


@pytest.mark.parametrize("workers", [1, 3, 6])
def test_workers_that_leave_cores_free_are_not_pinned(workers):
    """Two coordinators with one worker each would both choose core 0 and leave the others idle."""
    assert {slot.cores for slot in place(workers=workers)} == {()}


def test_a_cpu_quota_limits_workers_without_pinning():
    """All containers of a machine see all cores; each would pin itself to the first ones."""
    assert place(limit=2) == [Slot("cpu", (), 1)] * 2


def test_the_default_is_one_worker_per_gpu():
    """If there are GPUs."""
    assert [slot.device for slot in place(gpus=2)] == ["cuda:0", "cuda:1"]


def test_workers_take_named_devices_in_turn():
    """More workers than devices share them."""
    placed = place(devices=["cuda:0", "cuda:1"], workers=4, gpus=2)

    assert [slot.device for slot in placed] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]


def test_a_missing_gpu_is_refused():
    """The message names the remedy."""
    with pytest.raises(LaunchError, match=r"cuda:1, but 1 GPUs are visible; use local\.devices"):
        place(devices=["cuda:1"], gpus=1)
