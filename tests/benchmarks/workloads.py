"""Workloads for the epoch and memory benchmarks: `python -m tests.benchmarks.workloads REQUEST`.

REQUEST is a JSON file with `work` ("epoch", "peak" or "sharing"), the `tables` of a case, its `cache`, and the
fields that the functions below name. "peak" prints one answer. The others print one line when they are ready and
then one answer for each line on standard input.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lthsweep.launch.execute import execute
from lthsweep.launch.process_env import bind_cores
from lthsweep.launch.task import Task
from lthsweep.plan.expand import expand
from lthsweep.plan.run import Plan
from lthsweep.spec import spec_of
from lthsweep.store.layout import SweepDir
from lthsweep.training.loop import train
from lthsweep.training.state import Training
from tests.benchmarks.bare import bare, material_of
from tests.benchmarks.baseline import BaselineOptions, NestedLoop

__all__ = ["main", "mapped"]

Request = dict[str, Any]
Answer = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Run the workload that the request names."""
    (path,) = sys.argv[1:] if arguments is None else arguments
    request = json.loads(Path(path).read_text())
    plan = expand(spec_of(request["tables"]))
    if request["work"] == "peak":
        print(json.dumps(_peak(request, plan)))
        return 0
    work = {"epoch": _epoch, "sharing": _sharing}[request["work"]](request, plan)
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(work()), flush=True)
    return 0


def _peak(request: Request, plan: Plan) -> Answer:
    """`peak_bytes` of one training.

    `loop` "ours": a dense run as in a worker, with evaluations, snapshot and a record in `folder`. "bare": one epoch
    of the loop by hand, without anything else.
    """
    torch.set_num_threads(1)
    cache = Path(request["cache"])
    if request["loop"] == "ours":
        (run,) = plan.dense
        task = Task(run, plan.rewind_points()[run.key], cache=str(cache))
        sweep = SweepDir(Path(request["folder"]) / "peak").create()
        execute(task, sweep, torch.device("cpu"), stop=lambda: False, report=lambda values: None)
    else:
        material = material_of(plan, cache)
        bare(material, None)(material.training_data(0).train.steps)
    return {"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def _epoch(request: Request, plan: Plan) -> Callable[[], Answer]:
    """One dense epoch and a test, from initialization; answers with its `accuracy`.

    `loop`: "ours" or "naive". `threads`: 0 for torch's default. `cores`: to bind the process to; empty for all.
    """
    bind_cores(request["cores"])
    if request["threads"]:
        torch.set_num_threads(request["threads"])
    material = material_of(plan, Path(request["cache"]))
    if request["loop"] == "naive":
        return lambda: {"accuracy": NestedLoop(plan, material, BaselineOptions()).answer(plan.cells[0])}
    seed = plan.dense[0].seed

    def work() -> Answer:
        training = Training(material.build(seed), material.training_data(seed), material.train, seed=seed)
        train(training)
        return {"accuracy": material.score_test(training.model)[0].accuracy}

    return work


def _sharing(request: Request, plan: Plan) -> Callable[[], Answer]:
    """Map a pack as a worker does and read all of it; answers with its `resident` and `proportional` bytes.

    Two such processes show whether they share the images: each pays half of the PSS (proportional set size) of a
    page that both map, while the page is in the resident set of both.
    """
    material = material_of(plan, Path(request["cache"]))
    data = material.training_data(0)
    for _ in data.train.epoch(0):
        pass

    def work(kept: object = data) -> Answer:  # `data` has to live: without it the pack is unmapped
        return mapped("train_images.npy")

    return work


def mapped(name: str) -> dict[str, int]:
    """Bytes of this process's mappings of files with a name: `resident` and `proportional`."""
    sums = {"Rss:": 0, "Pss:": 0}
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            inside = line.endswith(f"/{name}")
        elif inside and words[0] in sums:
            sums[words[0]] += int(words[1]) * 1024
    return {"resident": sums["Rss:"], "proportional": sums["Pss:"]}


if __name__ == "__main__":
    sys.exit(main())
