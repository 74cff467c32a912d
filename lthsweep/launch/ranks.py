"""Which rank works where: cores and GPUs of each host are shared out among the ranks on it. Pure."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lthsweep.launch.machine import Slot, count_gpus, lay_out, usable_cores
from lthsweep.spec import Spec

__all__ = ["Hello", "say_hello", "slots_of_ranks"]


@dataclass(frozen=True)
class Hello:
    """What a rank has to work with, as it says itself.

    Attributes:
        rank: its number.
        host, pid: where it lives.
        cores: those it may run on; `mpirun` may have bound it to some of its host's.
        visible: its CUDA_VISIBLE_DEVICES; SLURM may give each rank its own.
        gpus: how many it sees.
    """

    rank: int
    host: str
    pid: int
    cores: tuple[int, ...]
    visible: str
    gpus: int

    @property
    def name(self) -> str:
        """The worker's name: unique in the sweep, fit to name a file."""
        return f"{self.host}-{self.pid}-rank{self.rank}"

    def to_dict(self) -> dict[str, Any]:
        """For a parcel."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Hello:
        """Undo `to_dict`, also after JSON made lists of tuples."""
        return cls(**{**values, "cores": tuple(values["cores"])})


def say_hello(rank: int) -> Hello:
    """What this process has to work with."""
    return Hello(
        rank=rank,
        host=socket.gethostname(),
        pid=os.getpid(),
        cores=tuple(usable_cores()),
        visible=os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        gpus=count_gpus(),
    )


def slots_of_ranks(hellos: Iterable[Hello], spec: Spec) -> dict[int, Slot]:
    """Place ranks on devices and cores, as the `[local]` table says; there is one worker per rank.

    Ranks that see the same GPUs of a host take them in turn, by their order on that host. Ranks that may use the same
    cores of a host get their own share of them, if together they fill them; those that `mpirun` bound to cores of
    their own keep them.

    Args:
        hellos: of the ranks that work.
        spec: for its `[local]` table.

    Returns:
        Rank → slot.

    Raises:
        LaunchError: if a GPU is asked for that a rank does not see.
    """
    local = spec.local
    hellos = sorted(hellos, key=lambda hello: hello.rank)
    devices: dict[int, str] = {}
    for group in _alike(hellos, lambda hello: (hello.host, hello.visible)):
        gpus = group[0].gpus if local.devices != "cpu" else 0
        placed = lay_out(
            workers=len(group), threads=local.threads, devices=local.devices, pin=False, cores=(), gpus=gpus
        )
        devices |= {hello.rank: slot.device for hello, slot in zip(group, placed, strict=True)}
    cores: dict[int, tuple[int, ...]] = {}
    for group in _alike(hellos, lambda hello: (hello.host, hello.cores)):
        placed = lay_out(
            workers=len(group),
            threads=local.threads,
            devices="cpu",
            pin=local.pin,
            cores=group[0].cores,
            gpus=0,
        )
        cores |= {hello.rank: slot.cores for hello, slot in zip(group, placed, strict=True)}
    return {hello.rank: Slot(devices[hello.rank], cores[hello.rank], local.threads) for hello in hellos}


def _alike(hellos: list[Hello], what: Callable[[Hello], Hashable]) -> list[list[Hello]]:
    groups: dict[Hashable, list[Hello]] = {}
    for hello in hellos:
        groups.setdefault(what(hello), []).append(hello)
    return list(groups.values())
