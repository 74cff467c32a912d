"""A plan of 100,000 cells, in a separate process, without torch.

Memory is read from /proc: `getrusage` also counts what the process that started this one once needed.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.launch.processes import PATIENCE

PROGRAM = """
import json, sys, time
from lthsweep.plan.estimate import cost_of
from lthsweep.plan.expand import expand
from lthsweep.spec import spec_of

tables = {
    "sweep": {"name": "big", "model": {"name": "lenet_300_100"}, "data": {"name": "mnist"}},
    "train": {"epochs": 100},
    "prune": {"schedule": "iterative"},
    "grid": {
        "sparsity": {"levels": 1000, "rate": 0.01}, "rewind_epoch": list(range(10)), "seed": list(range(10))
    },
}
spec = spec_of(tables)
started = time.perf_counter()
plan = expand(spec)
seconds = time.perf_counter() - started
cost = cost_of(plan)
print(json.dumps({
    "cells": len(plan.cells), "runs": cost.runs, "epochs": cost.epochs, "seconds": seconds,
    "bytes": int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) * 1024,
    "heavy": sorted({"torch", "torchvision", "pandas", "sklearn", "matplotlib"} & set(sys.modules)),
}))
"""


@pytest.mark.slow
def test_100_000_cells_expand_in_little_memory():
    """`plan` shows whether a sweep is affordable, so it must be cheap itself."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=PATIENCE
    )

    result = json.loads(done.stdout)
    print(f"100,000 cells expanded in {result['seconds']:.2f} s, {result['bytes'] / 2**20:.0f} MiB at most")
    assert result["cells"] == 100_000
    assert result["runs"] == 100_010
    assert result["epochs"] == 10 * (100 + 1000 * sum(100 - k for k in range(10)))
    assert result["bytes"] < 1 << 30
    assert result["heavy"] == []
