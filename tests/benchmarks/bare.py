"""Our step loop against one written by hand: `python -m tests.benchmarks.bare REQUEST`, REQUEST a JSON file.

Both train the same network from the same weights on the same batches with the same optimizer, in turns, in one
process and one thread. The loop by hand only takes steps, without learning-rate schedule, sums, or checks
whether to stop. Neither evaluates, because there are no validation images. Processor seconds are compared,
because other processes disturb them less than wall time, which is also reported.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch
from torch.nn import functional

from lthsweep.data.cache import open_packed
from lthsweep.launch.checkpoint import CheckpointHook
from lthsweep.lottery.context import TrainingContext
from lthsweep.plan.expand import expand
from lthsweep.plan.run import Plan
from lthsweep.pruning.make import make_masks
from lthsweep.pruning.masks import Masks
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.pruning.scoring import ScoringContext
from lthsweep.spec import spec_of
from lthsweep.training.loop import train
from lthsweep.training.state import Training

__all__ = ["bare", "compare", "main", "material_of"]

Seconds = tuple[float, float]
"""Processor seconds and wall seconds."""

TURN = 20
"""Steps of a turn. A turn starts with the other loop's weights in the caches and without our batch, which was made
before: with turns of 5 steps that costs 2 % of a LeNet step.
"""

Steps = Callable[[int], Seconds]


def main(arguments: list[str] | None = None) -> int:
    """Print one line of JSON: "dense" and "ticket", each as `compare` returns it.

    The request holds `tables` and `cache` of a case, and `rounds` of `steps` each.
    """
    (path,) = sys.argv[1:] if arguments is None else arguments
    request = json.loads(Path(path).read_text())
    torch.set_num_threads(1)
    material = material_of(expand(spec_of(request["tables"])), Path(request["cache"]))
    answer = {
        name: compare(material, _masks(material, sparsity), int(request["rounds"]), int(request["steps"]))
        for name, sparsity in (("dense", None), ("ticket", 0.8))
    }
    print(json.dumps(answer))
    return 0


def material_of(plan: Plan, cache: Path) -> TrainingContext:
    """The recipe of a plan's dense run with its packed data, on a CPU, without validation images."""
    recipe = plan.dense[0].recipe
    packed = open_packed(recipe.data, cache=cache)
    tables = recipe.to_dict() | {"data": {**recipe.data, "validation": 0}}
    return TrainingContext.of(tables, packed, torch.device("cpu"))


def compare(
    material: TrainingContext, masks: Masks | None, rounds: int, steps: int
) -> dict[str, list[Seconds]]:
    """Seconds of `steps` steps of each loop, one entry per round: "ours" and "bare".

    "ours" is a training as in a worker, with everything that happens between two steps. The loops take turns of `TURN`
    steps, so that other load on the machine affects both.
    """
    data = material.training_data(0)
    options = replace(material.train, epochs=1_000_000)  # `between` ends the training
    training = Training(material.build(0), data, options, seed=0, masks=masks)
    by_hand = bare(material, masks)
    watch = CheckpointHook(None, 0.0, lambda: False, lambda progress: None)
    turn = min(TURN, steps)
    warm_up = turn
    mark: list[Seconds] = []
    turns: dict[str, list[Seconds]] = {"ours": [], "bare": []}

    def between(current: Training) -> bool:
        step = current.progress.step
        if step >= warm_up and step % turn == 0:
            if mark:
                turns["ours"].append(_since(mark.pop(), _now()))
            turns["bare"].append(by_hand(turn))
            mark.append(_now())
        return watch(current) or len(turns["ours"]) * turn >= rounds * steps

    train(training, between)
    each = max(1, steps // turn)
    whole = {"ours": turns["ours"], "bare": turns["bare"][1:]}  # the first turn is warm-up
    return {
        loop: [_sum(some[start : start + each]) for start in range(0, rounds * each, each)]
        for loop, some in whole.items()
    }


def bare(material: TrainingContext, masks: Masks | None) -> Steps:
    """The loop by hand; with masks it multiplies each weight by its mask after every step."""
    model = material.build(0).train()
    optimizer = material.train.optimizer.build(model.parameters())
    batches = _endless(material)
    weights = dict(model.named_parameters())
    pairs = [(weights[name], mask.to(torch.float32)) for name, mask in (masks or {}).items()]

    def take(steps: int) -> Seconds:
        started = _now()
        for images, labels in islice(batches, steps):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            with torch.no_grad():
                for weight, mask in pairs:
                    weight.mul_(mask)
        return _since(started, _now())

    return take


def _now() -> Seconds:
    return time.process_time(), time.perf_counter()


def _since(start: Seconds, end: Seconds) -> Seconds:
    return end[0] - start[0], end[1] - start[1]


def _sum(several: list[Seconds]) -> Seconds:
    return sum(one for one, _ in several), sum(other for _, other in several)


def _endless(material: TrainingContext) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    train = material.training_data(0).train
    epoch = 0
    while True:
        yield from train.epoch(epoch)
        epoch += 1


def _masks(material: TrainingContext, sparsity: float | None) -> Masks | None:
    if sparsity is None:
        return None
    weights = prunable_weights(material.build(0))
    return make_masks("magnitude", ScoringContext(weights), scope="global", sparsity=sparsity)


if __name__ == "__main__":
    sys.exit(main())
