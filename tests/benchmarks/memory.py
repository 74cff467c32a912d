"""Memory: the peak of a worker against a loop by hand, and how many copies of the images two workers hold."""

from __future__ import annotations

import contextlib
import statistics
from pathlib import Path
from typing import Any

from lthsweep.launch.process_env import ALLOCATOR_VARIABLES, thread_variables
from tests.benchmarks.cases import Case, tables_of
from tests.benchmarks.figures import ratios
from tests.benchmarks.programs import Program, answer_of

__all__ = ["peaks", "shares"]


def peaks(case: Case, cache: Path, folder: Path, *, repeats: int) -> dict[str, Any]:
    """Peak resident memory of a worker's dense run and of the loop by hand, in separate processes, in turns.

    Returns:
        Medians `ours_bytes` and `bare_bytes`, and the spread of their `ratio`.

    Raises:
        LaunchError: if a program fails.
    """
    found: dict[str, list[float]] = {"ours": [], "bare": []}
    for number in range(repeats):
        for loop, values in found.items():
            place = folder / f"peak-{loop}-{number}"
            place.mkdir()
            request = _request(case, cache, work="peak", loop=loop, folder=str(place))
            answer = answer_of("workloads", request, place, ALLOCATOR_VARIABLES | thread_variables(1))
            values.append(answer["peak_bytes"])
    medians = {f"{loop}_bytes": statistics.median(values) for loop, values in found.items()}
    return medians | {"ratio": ratios(found["ours"], found["bare"])}


def shares(case: Case, cache: Path, folder: Path, *, processes: int = 2) -> dict[str, Any]:
    """Memory of processes that read the same pack.

    Returns:
        `processes`; `resident_bytes` and `proportional_bytes` of one of them; `copies` of the images that all of
        them hold together, 1 if they share one.

    Raises:
        LaunchError: if a process ends early.
    """
    request = _request(case, cache, work="sharing")
    with contextlib.ExitStack() as stack:
        running = [
            stack.enter_context(Program("workloads", request, folder / f"sharing-{number}.json"))
            for number in range(processes)
        ]
        for program in running:
            program.answer()
        found = []
        for program in running:
            program.start_work()
            found.append(program.answer())
    resident = found[0]["resident"]
    total = sum(one["proportional"] for one in found)
    return {
        "processes": processes,
        "resident_bytes": resident,
        "proportional_bytes": found[0]["proportional"],
        "copies": total / resident if resident else float("nan"),
    }


def _request(case: Case, cache: Path, **more: Any) -> dict[str, Any]:
    return {"tables": tables_of(case), "cache": str(cache), **more}
