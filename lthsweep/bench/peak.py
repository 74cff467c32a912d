"""One training and the most memory it needed: `python -m lthsweep.bench.peak REQUEST`, REQUEST a JSON file."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import torch

from lthsweep.bench.bare import bare, material_of
from lthsweep.launch.execute import execute
from lthsweep.launch.task import Task
from lthsweep.plan.grid import expand
from lthsweep.spec import spec_of
from lthsweep.store.layout import SweepDir

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Train, and print `peak_bytes`.

    The request names `tables` and `cache` of a case and the `loop`: "ours" is a dense run as a worker does it, with its
    evaluations, its snapshot and its record in `folder`; "bare" takes the steps of one epoch by hand and nothing else.
    """
    (path,) = sys.argv[1:] if arguments is None else arguments
    request = json.loads(Path(path).read_text())
    torch.set_num_threads(1)
    plan, cache = expand(spec_of(request["tables"])), Path(request["cache"])
    if request["loop"] == "ours":
        (run,) = plan.dense
        task = Task(run, plan.rewind_points()[run.key], cache=str(cache))
        sweep = SweepDir(Path(request["folder"]) / "peak").create()
        execute(task, sweep, torch.device("cpu"), stop=lambda: False, report=lambda **progress: None)
    else:
        material = material_of(plan, cache)
        bare(material, None)(material.training_data(0).train.steps)
    print(json.dumps({"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
