"""One benchmark: everything measured in turns, so that a busy minute falls on all programs alike; medians, spread."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lthsweep.bench.bound import measure_bound
from lthsweep.bench.cases import CASES, MEMORY, POOL, Case, tables_of
from lthsweep.bench.conditions import Busy, conditions
from lthsweep.bench.images import pack_images
from lthsweep.bench.memory import peaks, shares
from lthsweep.bench.rungs import LADDER, Climb, ask, climb, plan_of
from lthsweep.launch.machine import usable_cores
from lthsweep.launch.settle import ALLOCATOR_VARIABLES, thread_variables
from lthsweep.plan.cost import cost_of

__all__ = ["PARTS", "Effort", "bench", "effort_of", "spread"]

Tell = Callable[[str], None]

PARTS = ("lenet", "resnet20", "mobilenet_v2", "loop", "pool", "memory")


@dataclass(frozen=True)
class Effort:
    """How much is measured at a size.

    Attributes:
        repeats: of every measurement, in turns.
        rungs: of `LADDER`.
        share: of the grid that the nested loop answers in each repeat, another part each time; its time is scaled by
            the epochs it counted to those of the grid. Its cells are independent, and cost what their epochs cost.
        loop: case → (rounds, steps of a round) of the comparison of loops.
        pools: sweeps for the bound.
        parts: what of `PARTS` there is.
    """

    repeats: int
    rungs: tuple[str, ...]
    share: float
    loop: Mapping[str, tuple[int, int]]
    pools: int
    parts: tuple[str, ...]


_EFFORTS: Mapping[str, Effort] = {
    "tiny": Effort(
        repeats=2,
        rungs=("naive", "ours", "ours_bf16"),
        share=0.5,
        loop={"lenet": (2, 4)},
        pools=1,
        parts=("lenet", "loop", "pool", "memory"),
    ),
    "quick": Effort(
        repeats=2,
        rungs=("naive", "ours", "ours_bf16"),
        share=0.25,
        loop={"lenet": (9, 100), "resnet20": (3, 5)},
        pools=1,
        parts=("lenet", "resnet20", "loop", "pool"),
    ),
    "full": Effort(
        repeats=3,
        rungs=tuple(LADDER),
        share=1.0,
        loop={"lenet": (21, 200), "resnet20": (9, 10)},
        pools=3,
        parts=PARTS,
    ),
}


def effort_of(size: str) -> Effort:
    """How much is measured at a size of `lthsweep.bench.cases.SIZES`."""
    return _EFFORTS[size]


def bench(
    size: str, *, only: Collection[str] = (), repeats: int | None = None, tell: Tell = lambda line: None
) -> dict[str, Any]:
    """Measure.

    Args:
        size: "tiny" (a test that everything runs), "quick" or "full".
        only: parts to measure; empty for all that the size has.
        repeats: instead of the size's own.
        tell: hears one line per measurement.

    Returns:
        What bench.json holds, see docs/benchmarks.md: plain values.

    Raises:
        LaunchError: if a program of it fails.
    """
    effort = effort_of(size)
    repeats = repeats or effort.repeats
    busy = Busy()
    found: dict[str, Any] = {"size": size, "repeats": repeats}
    with tempfile.TemporaryDirectory(prefix="lthsweep-bench-") as name:
        folder = Path(name)
        for part in effort.parts:
            if only and part not in only:
                continue
            share = Busy()
            if part in CASES[size]:
                found |= _grid(CASES[size][part], effort, repeats, folder, tell)
            elif part == "loop":
                found["loop"] = _loop(size, effort, folder, tell)
            elif part == "pool":
                found["pool"] = _pool(POOL[size], effort.pools, folder, tell)
            elif part == "memory":
                found["memory"] = _memory(MEMORY[size], folder, tell)
            if part in found:
                found[part]["others_share"] = share.others()
    return found | {"conditions": conditions(busy)}


def spread(values: Iterable[float]) -> dict[str, Any]:
    """Median, least and most, and every value in the order in which it was measured."""
    several = list(values)
    return {
        "median": statistics.median(several),
        "low": min(several),
        "high": max(several),
        "values": several,
    }


def _grid(case: Case, effort: Effort, repeats: int, folder: Path, tell: Tell) -> dict[str, Any]:
    cache = folder / case.name / "cache"
    images = pack_images(case, cache)
    plan = plan_of(case)
    rungs = [name for name in effort.rungs if case.schedule == "iterative" or not LADDER[name].iterative]
    climbs: dict[str, list[Climb]] = {name: [] for name in rungs}
    most = max(1, round(effort.share * len(plan.cells)))
    for number in range(repeats):
        for name in rungs:
            first = number % (len(plan.cells) // most) * most
            part = (first, first + most) if LADDER[name].habits == {} else None
            done = climb(case, LADDER[name], cache, folder / case.name / f"{name}-{number}", part)
            climbs[name].append(done)
            tell(f"{case.name}, {LADDER[name].name.strip()}: {done.epochs:g} epochs in {done.seconds:.1f} s")
    whole = cost_of(plan).epochs_naive
    seconds = {
        name: [one.seconds * (whole / one.epochs if name == "naive" else 1.0) for one in several]
        for name, several in climbs.items()
    }
    answers = {name: sum(several[1:], several[0]).accuracies for name, several in climbs.items()}
    answer = {
        case.name: {
            "ratio": _ratio(seconds, "naive", "ours"),
            "images": images,
            "train_images": None if case.images is None else case.images[0],
            "model": case.model["name"],
            "data": case.data["name"],
            "schedule": case.schedule,
            "epochs": case.epochs,
            "batch_size": case.batch_size,
            "sparsities": list(case.sparsities),
            "rewinds": list(case.rewinds),
            "cells": len(plan.cells),
            "naive_cells": most,
            "rungs": {
                name: {
                    "name": LADDER[name].name,
                    "seconds": spread(seconds[name]),
                    "epochs": whole if name == "naive" else climbs[name][0].epochs,
                    "cells_per_core_hour": len(plan.cells)
                    * 3600
                    / statistics.median(seconds[name])
                    / len(usable_cores()),
                    "ratio": _ratio(seconds, "naive", name),
                    "agreement": _agreement(answers["naive"], answers[name]),
                }
                for name in rungs
            },
        }
    }
    if "ours_bf16" in rungs:
        answer[f"{case.name}_bf16"] = {"ratio": _ratio(seconds, "naive", "ours_bf16")}
    return answer


def _ratio(seconds: Mapping[str, list[float]], slow: str, fast: str) -> dict[str, Any]:
    return spread(one / other for one, other in zip(seconds[slow], seconds[fast], strict=True))


def _agreement(theirs: Mapping[str, float], ours: Mapping[str, float]) -> dict[str, float]:
    """Test accuracies, cell by cell: how many are equal, their mean difference, and the largest."""
    differences = [ours[cell] - accuracy for cell, accuracy in theirs.items()]
    return {
        "cells": len(differences),
        "equal": sum(difference == 0 for difference in differences),
        "mean_difference": statistics.fmean(differences),
        "largest_difference": max(map(abs, differences)),
        "mean_accuracy": statistics.fmean(ours.values()),
    }


def _loop(size: str, effort: Effort, folder: Path, tell: Tell) -> dict[str, Any]:
    """The ratio is that of the slowest of all comparisons, LeNet's and ResNet-20's, dense and ticket."""
    comparisons: dict[str, Any] = {}
    for name, (rounds, steps) in effort.loop.items():
        case = CASES[size][name]
        place = folder / f"loop-{name}"
        pack_images(case, place / "cache")
        request = {
            "tables": tables_of(case),
            "cache": str(place / "cache"),
            "rounds": rounds,
            "steps": steps,
        }
        for kind, seconds in ask("bare", request, place, ALLOCATOR_VARIABLES | thread_variables(1)).items():
            for clock, number in (("processor", 0), ("wall", 1)):
                pairs = zip(seconds["bare"], seconds["ours"], strict=True)
                ratio = spread(bare[number] / ours[number] for bare, ours in pairs)
                per_step = spread(ours[number] / steps for ours in seconds["ours"])
                comparisons.setdefault(f"{name} {kind}", {})[clock] = {
                    "ratio": ratio,
                    "seconds_per_step": per_step,
                }
            tell(
                f"loop, {name} {kind}: {comparisons[f'{name} {kind}']['processor']['ratio']['median']:.3f} of bare"
            )
    ratios = [one["processor"]["ratio"] for one in comparisons.values()]
    worst = min(ratios, key=lambda ratio: float(ratio["median"]))
    return {"bare_ratio": worst, "comparisons": comparisons}


def _pool(tables: Mapping[str, Any], pools: int, folder: Path, tell: Tell) -> dict[str, Any]:
    found = []
    for number in range(pools):
        bound = measure_bound(tables, folder / f"pool-{number}", folder / "pool-cache")
        tell(f"pool: {bound.wall:.1f} s, {bound.ratio:.3f} of the bound, first run after {bound.first:.1f} s")
        found.append(bound)
    return {
        "bound_ratio": spread(one.ratio for one in found),
        "wall": spread(one.wall for one in found),
        "bound": spread(one.bound for one in found),
        "first": spread(one.first for one in found),
        "workers": found[0].workers,
        "runs": found[0].runs,
    }


def _memory(case: Case, folder: Path, tell: Tell) -> dict[str, Any]:
    place = folder / case.name
    images = pack_images(case, place / "cache")
    found = peaks(case, place / "cache", place)
    shared = shares(case, place / "cache", place)
    tell(f"memory: peak {found['ratio']:.3f} of bare, {shared['copies']:.2f} copies of the images")
    return {"images": images, "peak": found, "shared": shared}
