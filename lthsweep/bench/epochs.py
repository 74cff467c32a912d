"""How long an epoch takes: by hand with DataLoader and PIL, and by ours in one process or with one on each core."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lthsweep.bench.cases import Case, tables_of
from lthsweep.bench.programs import Standing
from lthsweep.bench.spread import ratios, spread
from lthsweep.launch.process_env import ALLOCATOR_VARIABLES, thread_variables
from lthsweep.launch.slots import usable_cores

__all__ = ["measure_epochs"]


@dataclass(frozen=True)
class _Way:
    """Processes that train one epoch each, at the same time.

    Attributes:
        name: for people.
        loop: of `lthsweep.bench.epoch`.
        threads: of each process; 0 for torch's default.
        cores: one entry per process: where it is bound; none for anywhere.
    """

    name: str
    loop: str
    threads: int
    cores: tuple[tuple[int, ...], ...] = ((),)

    @property
    def environment(self) -> Mapping[str, str]:
        return ALLOCATOR_VARIABLES | thread_variables(self.threads) if self.loop == "ours" else {}


def measure_epochs(case: Case, cache: Path, folder: Path, repeats: int) -> dict[str, Any]:
    """Seconds per epoch and its test, in turns, after one that does not count.

    Args:
        case: of one dense epoch.
        cache: folder of packs with its images.
        folder: for files of the programs.
        repeats: of each way.

    Returns:
        `ways`, each with `name`, `seconds` per epoch (of several at the same time their wall time ÷ their number) and
        `accuracy`; `ratio` and `ratio_one`: by hand ÷ ours with a process per core, and in one process.

    Raises:
        LaunchError: if a program fails.
    """
    cores = sorted(usable_cores())
    ways = {
        "naive": _Way("DataLoader, PIL, torch's default threads", "naive", 0),
        "one": _Way(f"ours, one process of {len(cores)} threads", "ours", len(cores)),
        "each": _Way(
            f"ours, {len(cores)} processes of one thread", "ours", 1, tuple((core,) for core in cores)
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    accuracies: dict[str, float] = {}
    with contextlib.ExitStack() as stack:
        running = {
            name: [
                stack.enter_context(_started(case, cache, folder / f"{name}-{number}.json", way, where))
                for number, where in enumerate(way.cores)
            ]
            for name, way in ways.items()
        }
        for processes in running.values():
            for process in processes:
                process.hear()
        for turn in range(1 + repeats):
            for name, processes in running.items():
                took, accuracies[name] = _epoch(processes)
                if turn:
                    seconds[name].append(took)
    return {
        "ratio": ratios(seconds["naive"], seconds["each"]),
        "ratio_one": ratios(seconds["naive"], seconds["one"]),
        "ways": {
            name: {"name": way.name, "seconds": spread(seconds[name]), "accuracy": accuracies[name]}
            for name, way in ways.items()
        },
    }


def _started(case: Case, cache: Path, path: Path, way: _Way, cores: tuple[int, ...]) -> Standing:
    request = {
        "tables": tables_of(case),
        "cache": str(cache),
        "loop": way.loop,
        "threads": way.threads,
        "cores": list(cores),
    }
    return Standing("epoch", request, path, way.environment)


def _epoch(processes: list[Standing]) -> tuple[float, float]:
    started = time.perf_counter()
    for process in processes:
        process.tell()
    accuracies = [float(process.hear()["accuracy"]) for process in processes]
    return (time.perf_counter() - started) / len(processes), accuracies[0]
