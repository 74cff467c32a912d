"""Ranks are laid out on the cores and GPUs of their hosts."""

from __future__ import annotations

import pytest

from lthsweep.errors import LaunchError
from lthsweep.launch.mpi.ranks import RANK_INFO, RankInfo, slots_of_ranks, this_rank
from lthsweep.launch.slots import Slot
from lthsweep.spec import spec_of


def spec(**local):
    return spec_of(
        {
            "sweep": {"name": "tiny", "model": {"name": "lenet_300_100"}, "data": {"name": "digits"}},
            "grid": {"sparsity": [0.5]},
            "local": local,
        }
    )


def info(rank, host="a", cores=(0, 1, 2, 3), visible="", gpus=0):
    return RankInfo(rank, host, 100 + rank, tuple(cores), visible, gpus)


def test_ranks_share_the_cores_of_their_host():
    """The mpirun of MPICH binds no rank."""
    placed = slots_of_ranks([info(1), info(2), info(3, "b"), info(4, "b")], spec(threads=2))

    assert placed == {
        1: Slot("cpu", (0, 1), 2),
        2: Slot("cpu", (2, 3), 2),
        3: Slot("cpu", (0, 1), 2),
        4: Slot("cpu", (2, 3), 2),
    }


def test_more_ranks_than_cores_are_not_pinned():
    """The kernel balances them."""
    placed = slots_of_ranks([info(rank, cores=(0, 1)) for rank in range(1, 4)], spec())

    assert {slot.cores for slot in placed.values()} == {()}


def test_a_rank_that_mpirun_bound_keeps_its_cores():
    """Open MPI binds by default, SLURM with --cpu-bind."""
    placed = slots_of_ranks([info(1, cores=(4,)), info(2, cores=(6,))], spec())

    assert [placed[1].cores, placed[2].cores] == [(4,), (6,)]


def test_ranks_of_a_host_take_gpus_in_turn():
    """In order of their numbers."""
    ranks = [info(rank, host, gpus=2) for rank, host in ((1, "a"), (2, "a"), (3, "b"), (4, "b"), (5, "b"))]

    placed = slots_of_ranks(reversed(ranks), spec())

    assert [placed[rank].device for rank in (1, 2, 3, 4, 5)] == [
        "cuda:0",
        "cuda:1",
        "cuda:0",
        "cuda:1",
        "cuda:0",
    ]


def test_bound_ranks_take_gpus_in_turn():
    """Cores and GPUs are shared independently."""
    placed = slots_of_ranks([info(1, cores=(0,), gpus=2), info(2, cores=(1,), gpus=2)], spec())

    assert [placed[1], placed[2]] == [Slot("cuda:0", (0,), 1), Slot("cuda:1", (1,), 1)]


def test_ranks_with_one_visible_gpu_use_it():
    """`srun --gpus-per-task=1`: every rank sees one GPU, and its number is 0."""
    placed = slots_of_ranks([info(1, visible="0", gpus=1), info(2, visible="3", gpus=1)], spec())

    assert {slot.device for slot in placed.values()} == {"cuda:0"}


def test_an_invisible_gpu_is_refused():
    """The message names it."""
    with pytest.raises(LaunchError, match="cuda:1, but 1 GPUs are visible"):
        slots_of_ranks([info(1, gpus=1)], spec(devices=["cuda:1"]))


def test_rank_info_survives_its_json():
    """Ranks send it to rank 0."""
    info = this_rank(3)

    assert RANK_INFO.validate_json(RANK_INFO.dump_json(info)) == info
    assert info.name.endswith("-rank3")
