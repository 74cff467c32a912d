"""Memory: two workers share one copy of the images, and a worker's peak is that of the loop by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lthsweep.bench.cases import Case, tables_of
from lthsweep.bench.rungs import ask
from lthsweep.errors import LaunchError
from lthsweep.launch.settle import ALLOCATOR_VARIABLES, thread_variables

__all__ = ["peaks", "shares"]


def peaks(case: Case, cache: Path, folder: Path) -> dict[str, float]:
    """Peak resident memory of a worker's dense run and of the loop by hand, each in a process of its own.

    Returns:
        `ours_bytes`, `bare_bytes` and their `ratio`.

    Raises:
        LaunchError: if one of the two fails.
    """
    found: dict[str, float] = {}
    for loop in ("ours", "bare"):
        request = {"tables": tables_of(case), "cache": str(cache), "loop": loop, "folder": str(folder)}
        answer = ask("peak", request, folder, ALLOCATOR_VARIABLES | thread_variables(1))
        found[f"{loop}_bytes"] = answer["peak_bytes"]
    return found | {"ratio": found["ours_bytes"] / found["bare_bytes"]}


def shares(case: Case, cache: Path, folder: Path, *, processes: int = 2) -> dict[str, Any]:
    """What processes that read the same pack pay for it.

    Returns:
        `processes`; `resident_bytes` and `proportional_bytes` of one of them; `copies`: how many copies of the images
        all of them hold together, 1 if they share one.

    Raises:
        LaunchError: if a process ends before it is asked.
    """
    path = folder / "sharing.json"
    path.write_text(json.dumps({"tables": tables_of(case), "cache": str(cache)}))
    command = [sys.executable, "-m", "lthsweep.bench.sharing", str(path)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    try:
        for one in running:
            _line(one)
        found = [_measure(one) for one in running]
    finally:
        for one in running:
            one.communicate()
    resident = found[0]["resident"]
    together = sum(one["proportional"] for one in found)
    return {
        "processes": processes,
        "resident_bytes": resident,
        "proportional_bytes": found[0]["proportional"],
        "copies": together / resident if resident else float("nan"),
    }


def _measure(process: subprocess.Popen[str]) -> Mapping[str, int]:
    assert process.stdin is not None
    process.stdin.write("measure\n")
    process.stdin.flush()
    return _line(process)


def _line(process: subprocess.Popen[str]) -> Mapping[str, int]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise LaunchError("a process of the benchmark's measure of shared memory ended before it was asked")
    found: Mapping[str, int] = json.loads(line)
    return found
