"""Memory: two workers share one copy of the images, and a worker's peak is that of the loop by hand."""

from __future__ import annotations

import contextlib
import statistics
from pathlib import Path
from typing import Any

from lthsweep.bench.cases import Case, tables_of
from lthsweep.bench.programs import Standing, ask
from lthsweep.bench.spread import ratios
from lthsweep.launch.process_env import ALLOCATOR_VARIABLES, thread_variables

__all__ = ["peaks", "shares"]


def peaks(case: Case, cache: Path, folder: Path, *, repeats: int) -> dict[str, Any]:
    """Peak resident memory of a worker's dense run and of the loop by hand, each in a process of its own, in turns.

    Returns:
        `ours_bytes` and `bare_bytes`, medians, and the spread of their `ratio`.

    Raises:
        LaunchError: if one of the two fails.
    """
    found: dict[str, list[float]] = {"ours": [], "bare": []}
    for number in range(repeats):
        for loop, bytes_ in found.items():
            place = folder / f"peak-{loop}-{number}"
            place.mkdir()
            request = {"tables": tables_of(case), "cache": str(cache), "loop": loop, "folder": str(place)}
            answer = ask("peak", request, place, ALLOCATOR_VARIABLES | thread_variables(1))
            bytes_.append(answer["peak_bytes"])
    medians = {f"{loop}_bytes": statistics.median(several) for loop, several in found.items()}
    return medians | {"ratio": ratios(found["ours"], found["bare"])}


def shares(case: Case, cache: Path, folder: Path, *, processes: int = 2) -> dict[str, Any]:
    """What processes that read the same pack pay for it.

    Returns:
        `processes`; `resident_bytes` and `proportional_bytes` of one of them; `copies`: how many copies of the images
        all of them hold together, 1 if they share one.

    Raises:
        LaunchError: if a process ends before it is asked.
    """
    request = {"tables": tables_of(case), "cache": str(cache)}
    with contextlib.ExitStack() as stack:
        running = [
            stack.enter_context(Standing("sharing", request, folder / f"sharing-{number}.json"))
            for number in range(processes)
        ]
        for one in running:
            one.hear()
        found = []
        for one in running:
            one.tell()
            found.append(one.hear())
    resident = found[0]["resident"]
    together = sum(one["proportional"] for one in found)
    return {
        "processes": processes,
        "resident_bytes": resident,
        "proportional_bytes": found[0]["proportional"],
        "copies": together / resident if resident else float("nan"),
    }
