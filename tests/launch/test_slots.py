"""Workers are laid out on cores and devices as the `[local]` table says."""

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


def test_without_a_gpu_one_pinned_worker_per_core_is_the_default():
    assert place() == [Slot("cpu", (core,), 1) for core in (0, 1, 2, 3)]


def test_threads_take_neighboring_cores():
    assert place(threads=2) == [Slot("cpu", (0, 1), 2), Slot("cpu", (2, 3), 2)]


def test_more_threads_than_cores_still_give_one_worker():
    assert place(threads=8) == [Slot("cpu", (), 8)]


@pytest.mark.parametrize("workers", [1, 3, 6])
def test_workers_that_do_not_fill_the_cores_are_not_pinned(workers):
    """Two coordinators with one worker each would both choose core 0 and leave the others idle."""
    assert {slot.cores for slot in place(workers=workers)} == {()}


def test_a_containers_quota_counts_and_does_not_choose_cores():
    """All containers of a machine see all cores; each would pin itself to the first ones."""
    assert place(limit=2) == [Slot("cpu", (), 1)] * 2


def test_with_gpus_there_is_one_worker_per_gpu():
    assert [slot.device for slot in place(gpus=2)] == ["cuda:0", "cuda:1"]


def test_workers_take_the_named_devices_in_turn():
    placed = place(devices=["cuda:0", "cuda:1"], workers=4, gpus=2)

    assert [slot.device for slot in placed] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]


def test_a_gpu_that_is_not_there_is_refused_with_what_to_do():
    with pytest.raises(LaunchError, match=r"cuda:1, but 1 GPUs are visible; use local\.devices"):
        place(devices=["cuda:1"], gpus=1)
