"""Seconds per epoch: by hand with DataLoader and PIL, ours in one process, and ours with one process per core."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lthsweep.launch.process_env import ALLOCATOR_VARIABLES, thread_variables
from lthsweep.launch.slots import usable_cores
from tests.benchmarks.cases import Case, tables_of
from tests.benchmarks.figures import ratios, spread
from tests.benchmarks.programs import Program

__all__ = ["measure_epochs"]


@dataclass(frozen=True)
class _Way:
    """Processes that train one epoch each, at the same time.

    Attributes:
        name: label of the table's row.
        loop: "ours" or "naive".
        threads: of each process; 0 for torch's default.
        cores: one entry per process: the cores to bind it to; empty for all.
    """

    name: str
    loop: str
    threads: int
    cores: tuple[tuple[int, ...], ...] = ((),)

    @property
    def environment(self) -> Mapping[str, str]:
        return ALLOCATOR_VARIABLES | thread_variables(self.threads) if self.loop == "ours" else {}

    def programs(self, case: Case, cache: Path, stem: str) -> list[Program]:
        shared = {"work": "epoch", "tables": tables_of(case), "cache": str(cache), "loop": self.loop}
        requests = [shared | {"threads": self.threads, "cores": list(cores)} for cores in self.cores]
        return [
            Program("workloads", request, Path(f"{stem}-{number}.json"), self.environment)
            for number, request in enumerate(requests)
        ]


def measure_epochs(case: Case, cache: Path, folder: Path, repeats: int) -> dict[str, Any]:
    """Seconds per epoch with its test, in turns, after one warm-up turn.

    Args:
        case: one dense epoch.
        cache: folder of packs with its images.
        folder: for the programs' request files.
        repeats: turns.

    Returns:
        `ways`, each with `name`, `seconds` per epoch (of several processes: wall time ÷ their number) and
        `accuracy`; `ratio` and `ratio_one`: by hand ÷ ours with one process per core, and ÷ ours in one process.

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
            name: [stack.enter_context(one) for one in way.programs(case, cache, str(folder / name))]
            for name, way in ways.items()
        }
        for programs in running.values():
            for program in programs:
                program.answer()
        for turn in range(1 + repeats):
            for name, programs in running.items():
                took, accuracies[name] = _epoch(programs)
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


def _epoch(programs: list[Program]) -> tuple[float, float]:
    started = time.perf_counter()
    for program in programs:
        program.start_work()
    accuracies = [float(program.answer()["accuracy"]) for program in programs]
    return (time.perf_counter() - started) / len(programs), accuracies[0]
