"""The ladder over one grid: every rung in turns, several times."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lthsweep.bench.cases import Case
from lthsweep.bench.images import pack_images
from lthsweep.bench.rungs import LADDER, Climb, climb, plan_of
from lthsweep.bench.spread import ratios, spread
from lthsweep.launch.slots import usable_cores
from lthsweep.plan.cost import cost_of

__all__ = ["measure_grid"]


def measure_grid(
    case: Case, rungs: Sequence[str], share: float, repeats: int, folder: Path, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Time programs over the same grid.

    Args:
        case: the grid.
        rungs: of `LADDER`, "naive" and "ours" among them; those of chains are left out where there are none.
        share: of the grid that a nested loop which shares nothing answers in each turn, another part each time; its
            time is scaled by the epochs it counted to those of the grid. Its cells are independent, and cost what
            their epochs cost.
        repeats: turns.
        folder: for files; made.
        tell: hears one line per program.

    Returns:
        By the name of the case what docs/benchmarks.md says; with "ours_bf16" also its `ratio`, by NAME_bf16.
    """
    cache = folder / "cache"
    images = pack_images(case, cache)
    plan = plan_of(case)
    names = [name for name in rungs if case.schedule == "iterative" or not LADDER[name].iterative]
    climbs: dict[str, list[Climb]] = {name: [] for name in names}
    most = max(1, round(share * len(plan.cells)))
    for number in range(repeats):
        for name in names:
            first = number * most % (len(plan.cells) // most * most)
            part = (first, first + most) if LADDER[name].independent else None
            done = climb(case, LADDER[name], cache, folder / f"{name}-{number}", part)
            climbs[name].append(done)
            tell(f"{case.name}, {LADDER[name].name.strip()}: {done.epochs:g} epochs in {done.seconds:.1f} s")
    whole = cost_of(plan).epochs_naive
    seconds = {
        name: [one.seconds * (whole / one.epochs if LADDER[name].independent else 1.0) for one in several]
        for name, several in climbs.items()
    }
    answers = {name: sum(several[1:], several[0]).accuracies for name, several in climbs.items()}
    answer: dict[str, Any] = {
        case.name: {
            "ratio": ratios(seconds["naive"], seconds["ours"]),
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
                    "epochs": whole if LADDER[name].independent else climbs[name][0].epochs,
                    "cells_per_core_hour": len(plan.cells)
                    * 3600
                    / statistics.median(seconds[name])
                    / len(usable_cores()),
                    "ratio": ratios(seconds["naive"], seconds[name]),
                    "agreement": _agreement(answers["naive"], answers[name]),
                }
                for name in names
            },
        }
    }
    if "ours_bf16" in names:
        answer[f"{case.name}_bf16"] = {"ratio": ratios(seconds["naive"], seconds["ours_bf16"])}
    return answer


def _agreement(theirs: Mapping[str, float], ours: Mapping[str, float]) -> dict[str, float]:
    """Test accuracies of the cells that both answered: how many are equal, their mean difference, and the largest."""
    both = theirs.keys() & ours.keys()
    differences = [ours[cell] - theirs[cell] for cell in both]
    return {
        "cells": len(differences),
        "equal": sum(difference == 0 for difference in differences),
        "mean_difference": statistics.fmean(differences),
        "largest_difference": max(map(abs, differences)),
        "mean_accuracy": statistics.fmean(ours[cell] for cell in both),
    }
