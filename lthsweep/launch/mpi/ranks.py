"""The ranks of an MPI job: what each reports about itself, where each works, and how each ends."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from lthsweep.launch.slots import Slot, count_gpus, place_workers, usable_cores
from lthsweep.spec import Spec

__all__ = [
    "DEPARTURE",
    "RANK_INFO",
    "RANK_SLOT",
    "Departure",
    "RankInfo",
    "RankSlot",
    "slots_of_ranks",
    "this_rank",
]


@dataclass(frozen=True)
class RankInfo:
    """Resources of a rank, as the rank itself finds them.

    Attributes:
        rank: its number.
        host, pid: of its process.
        cores: cores that it can use; `mpirun` can have bound it to some of its host.
        visible: its CUDA_VISIBLE_DEVICES; SLURM can set another one for each rank.
        gpus: number of visible GPUs.
    """

    rank: int
    host: str
    pid: int
    cores: tuple[int, ...]
    visible: str
    gpus: int

    @property
    def name(self) -> str:
        """Name of the worker: unique in the sweep, and valid as a file name."""
        return f"{self.host}-{self.pid}-rank{self.rank}"


@dataclass(frozen=True)
class RankSlot:
    """Where a rank works.

    Attributes:
        sweep: the sweep directory.
        slot: device, cores and threads.
        silence: seconds without a sign of life after which rank 0 is taken for dead.
    """

    sweep: Path
    slot: Slot
    silence: float


@dataclass(frozen=True)
class Departure:
    """How a rank ended: with an exception (`cause` is not empty), after a signal, or because rank 0 asked for it."""

    cause: str = ""
    signaled: bool = False


RANK_INFO = TypeAdapter(RankInfo)
RANK_SLOT = TypeAdapter(RankSlot)
DEPARTURE = TypeAdapter(Departure)


def this_rank(rank: int) -> RankInfo:
    """Return the resources of this process."""
    return RankInfo(
        rank=rank,
        host=socket.gethostname(),
        pid=os.getpid(),
        cores=tuple(usable_cores()),
        visible=os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        gpus=count_gpus(),
    )


def slots_of_ranks(ranks: Iterable[RankInfo], spec: Spec) -> dict[int, Slot]:
    """Return rank → slot, by the `[local]` table, with one worker per rank.

    Ranks that see the same GPUs of a host take them in turn, in order of their numbers. Ranks that can use the same
    cores of a host divide them, if together they fill them. Ranks that `mpirun` bound to different cores keep theirs.

    Args:
        ranks: those that train.
        spec: for its `[local]` table.

    Raises:
        LaunchError: if a GPU is named that a rank does not see.
    """
    local = spec.local
    ranks = sorted(ranks, key=lambda info: info.rank)
    devices: dict[int, str] = {}
    for group in _grouped(ranks, lambda info: (info.host, info.visible)):
        gpus = group[0].gpus if local.devices != "cpu" else 0
        placed = place_workers(
            workers=len(group), threads=local.threads, devices=local.devices, pin=False, cores=(), gpus=gpus
        )
        devices |= {info.rank: slot.device for info, slot in zip(group, placed, strict=True)}
    cores: dict[int, tuple[int, ...]] = {}
    for group in _grouped(ranks, lambda info: (info.host, info.cores)):
        placed = place_workers(
            workers=len(group),
            threads=local.threads,
            devices="cpu",
            pin=local.pin,
            cores=group[0].cores,
            gpus=0,
        )
        cores |= {info.rank: slot.cores for info, slot in zip(group, placed, strict=True)}
    return {info.rank: Slot(devices[info.rank], cores[info.rank], local.threads) for info in ranks}


def _grouped(ranks: list[RankInfo], by: Callable[[RankInfo], Hashable]) -> list[list[RankInfo]]:
    groups: dict[Hashable, list[RankInfo]] = {}
    for info in ranks:
        groups.setdefault(by(info), []).append(info)
    return list(groups.values())
