"""One epoch of a dense network and a test, each time it is asked: `python -m lthsweep.bench.epoch REQUEST`.

REQUEST is a JSON file: `tables` and `cache` of a case of one epoch, `loop` ("ours" or "naive"), `threads` (0 for
torch's default) and `cores` to be bound to (none for all). After its start the program says so in a line of JSON; for
each line on its standard input it trains a network from initialization and answers with its `accuracy`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lthsweep.bench.bare import material_of
from lthsweep.bench.naive import Habits, NestedLoop
from lthsweep.launch.process_env import bind_cores
from lthsweep.lottery.material import Material
from lthsweep.plan.grid import expand
from lthsweep.plan.run import Plan
from lthsweep.spec import spec_of
from lthsweep.training.loop import Training

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Train an epoch for every line of standard input; 0 at its end."""
    (path,) = sys.argv[1:] if arguments is None else arguments
    request = json.loads(Path(path).read_text())
    bind_cores(request["cores"])
    if request["threads"]:
        torch.set_num_threads(request["threads"])
    work = _work(request)
    print(json.dumps({"ready": True, "threads": torch.get_num_threads()}), flush=True)
    for _ in sys.stdin:
        print(json.dumps({"accuracy": work()}), flush=True)
    return 0


def _work(request: dict[str, Any]) -> Callable[[], float]:
    plan = expand(spec_of(request["tables"]))
    material = material_of(plan, Path(request["cache"]))
    if request["loop"] == "naive":
        return lambda: NestedLoop(plan, material, Habits()).answer(plan.cells[0])
    return lambda: _ours(plan, material)


def _ours(plan: Plan, material: Material) -> float:
    seed = plan.dense[0].seed
    training = Training(material.build(seed), material.training_data(seed), material.train, seed=seed)
    training.run()
    return material.score_test(training.model)[0].accuracy


if __name__ == "__main__":
    sys.exit(main())
