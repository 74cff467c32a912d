"""Our step loop beside one written by hand: `python -m lthsweep.bench.bare REQUEST`, REQUEST a JSON file.

Both train the same network from the same weights on the same batches with the same optimizer, in turns, in one
process. The loop by hand does nothing but steps: no learning-rate schedule, no sums, no look at whether it should stop.
No images are held out, so neither evaluates. Each is one thread that waits for nothing: what is compared is processor
seconds, which other processes on the machine disturb less than the clock on the wall; that is told beside them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from lthsweep.data.pack import open_packed
from lthsweep.launch.checkpoint import CheckpointHook
from lthsweep.lottery.material import Material
from lthsweep.plan.grid import expand
from lthsweep.plan.run import Plan
from lthsweep.pruning.make import make_mask
from lthsweep.pruning.masks import Masks
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.spec import spec_of
from lthsweep.training.loop import Training
from lthsweep.training.optimizers import build_optimizer

__all__ = ["bare", "compare", "main", "material_of"]

Seconds = tuple[float, float]
"""Of the processor, and on the wall."""

TURN = 20
"""Steps that a loop takes before the other has its turn. As a turn begins the caches are full of the other's weights,
and our batch, made before we look who is next, has left them: in turns of 5 that is 2 % of a LeNet step.
"""

Steps = Callable[[int], Seconds]


def main(arguments: list[str] | None = None) -> int:
    """Read the request, measure, print one line of JSON: "dense" and "ticket", as `compare` returns them.

    The request names `tables` and `cache` of a case, and `rounds` of `steps` each.
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


def material_of(plan: Plan, cache: Path) -> Material:
    """The recipe of a plan's dense run on its packed data, on CPU."""
    recipe = plan.dense[0].recipe
    packed = open_packed(recipe.data, cache=cache)
    tables = recipe.to_dict() | {"data": {**recipe.data, "validation": 0}}
    return Material(**tables, packed=packed, device=torch.device("cpu"))


def compare(material: Material, masks: Masks | None, rounds: int, steps: int) -> dict[str, list[Seconds]]:
    """A training as a worker runs it, with all that happens between two steps, and the loop by hand between its steps.

    They take `TURN` steps each in turn, so that whatever else the machine does falls on both.

    Returns:
        "ours" and "bare": seconds of `steps` steps, one entry per round.
    """
    data = material.training_data(0)
    train = dict(material.train) | {"epochs": 1_000_000}  # the loop ends by the count of steps
    training = Training(material.build(0), data, train, seed=0, masks=masks)
    by_hand = bare(material, masks)
    watch = CheckpointHook(None, 0.0, lambda: False, lambda **progress: None)
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

    training.run(between)
    each = max(1, steps // turn)
    whole = {"ours": turns["ours"], "bare": turns["bare"][1:]}  # the first turn warmed it up
    return {
        loop: [_sum(some[start : start + each]) for start in range(0, rounds * each, each)]
        for loop, some in whole.items()
    }


def bare(material: Material, masks: Masks | None) -> Steps:
    """The loop by hand; with masks it multiplies each pruned weight by its mask after every step."""
    model = material.build(0).train()
    optimizer = build_optimizer(model, material.train["optimizer"])
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


def _endless(material: Material) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    train = material.training_data(0).train
    epoch = 0
    while True:
        yield from train.epoch(epoch)
        epoch += 1


def _masks(material: Material, sparsity: float | None) -> Masks | None:
    if sparsity is None:
        return None
    weights: dict[str, Any] = prunable_weights(material.build(0))
    return make_mask(weights, None, method="magnitude", scope="global", sparsity=sparsity, seed=0)


if __name__ == "__main__":
    sys.exit(main())
