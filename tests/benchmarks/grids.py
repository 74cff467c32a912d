"""Time each benchmark step on one grid: from a nested loop to `lthsweep run`, one improvement at a time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from lthsweep.launch.process_env import ALLOCATOR_VARIABLES
from lthsweep.launch.slots import usable_cores
from lthsweep.plan.estimate import cost_of
from lthsweep.plan.expand import expand
from lthsweep.plan.run import Plan
from lthsweep.spec import spec_of
from lthsweep.store.layout import SweepDir
from lthsweep.store.record import read_summary
from tests.benchmarks.cases import Case, tables_of
from tests.benchmarks.figures import ratios, spread
from tests.benchmarks.images import pack_images
from tests.benchmarks.programs import answer_of, call

__all__ = ["STEPS", "Step", "Timing", "measure_grid", "plan_of", "time_step"]


@dataclass(frozen=True)
class Step:
    """One program that computes all cells of a grid.

    Attributes:
        name: label of the table's row: its change from the step before.
        options: of the baseline (`tests.benchmarks.baseline`); None for `lthsweep run`.
        allocator: True for our settings of glibc's allocator.
        precision: of the recipe.
        iterative: True if it differs from the step before only for chains of levels.
    """

    name: str
    options: Mapping[str, Any] | None = None
    allocator: bool = False
    precision: str = "fp32"
    iterative: bool = False

    @property
    def independent(self) -> bool:
        """True if each cell is computed from scratch, so that the cost of a part gives the cost of the whole."""
        return self.options is not None and not self.options.get("shared_dense_run")


STEPS: Mapping[str, Step] = {
    "naive": Step("naive nested loop", {}),
    "loaders": Step("  the same with 2 loader processes", {"loader_workers": 2}),
    "trunk": Step("+ shared dense runs", {"shared_dense_run": True}),
    "chains": Step("+ shared levels", {"shared_dense_run": True, "shared_chains": True}, iterative=True),
    "resident": Step("+ resident data", {"shared_dense_run": True, "shared_chains": True, "resident": True}),
    "layout": Step(
        "+ channels-last, allocator",
        {"shared_dense_run": True, "shared_chains": True, "resident": True, "channels_last": True},
        allocator=True,
    ),
    "ours": Step("+ pinned processes: `lthsweep run`"),
    "ours_bf16": Step("+ bf16", precision="bf16"),
}
"""In order of speed; "loaders" is an alternative to "naive", not a step after it."""


@dataclass(frozen=True)
class Timing:
    """Time and results of one step on a grid.

    Attributes:
        seconds: for all cells; for `lthsweep run` from the start of the command to the table on disk.
        epochs: of training.
        cells: number of cells computed.
        accuracies: key of the cell's run in fp32 → test accuracy.
    """

    seconds: float
    epochs: float
    cells: int
    accuracies: Mapping[str, float] = field(repr=False)

    def __add__(self, other: Timing) -> Timing:
        """Two parts of a grid together."""
        return Timing(
            self.seconds + other.seconds,
            self.epochs + other.epochs,
            self.cells + other.cells,
            {**self.accuracies, **other.accuracies},
        )


def measure_grid(
    case: Case,
    steps: Sequence[str],
    share: float,
    repeats: int,
    folder: Path,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Time several steps on the same grid, in turns.

    Args:
        case: the grid.
        steps: names in `STEPS`, including "naive" and "ours"; steps for chains are left out of a one-shot grid.
        share: of the grid that an independent step computes in each turn, another part each time. Its time is
            scaled to all epochs of the grid: its cells are independent, and their cost is proportional to epochs.
        repeats: turns.
        folder: for files; created.
        progress: receives one line per measurement.

    Returns:
        Case name → figures, as docs/benchmarks.md describes them; with "ours_bf16" also NAME_bf16 → its `ratio`.
    """
    cache = folder / "cache"
    images = pack_images(case, cache)
    plan = plan_of(case)
    names = [name for name in steps if case.schedule == "iterative" or not STEPS[name].iterative]
    timings: dict[str, list[Timing]] = {name: [] for name in names}
    most = max(1, round(share * len(plan.cells)))
    for number in range(repeats):
        for name in names:
            first = number * most % (len(plan.cells) // most * most)
            part = (first, first + most) if STEPS[name].independent else None
            done = time_step(case, STEPS[name], cache, folder / f"{name}-{number}", part)
            timings[name].append(done)
            progress(
                f"{case.name}, {STEPS[name].name.strip()}: {done.epochs:g} epochs in {done.seconds:.1f} s"
            )
    whole = cost_of(plan).epochs_naive
    seconds = {
        name: [one.seconds * (whole / one.epochs if STEPS[name].independent else 1.0) for one in several]
        for name, several in timings.items()
    }
    accuracies = {name: sum(several[1:], several[0]).accuracies for name, several in timings.items()}
    core_hours = len(usable_cores()) / 3600
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
            "steps": {
                name: {
                    "name": STEPS[name].name,
                    "seconds": spread(seconds[name]),
                    "epochs": whole if STEPS[name].independent else timings[name][0].epochs,
                    "cells_per_core_hour": len(plan.cells) / statistics.median(seconds[name]) / core_hours,
                    "ratio": ratios(seconds["naive"], seconds[name]),
                    "agreement": _agreement(accuracies["naive"], accuracies[name]),
                }
                for name in names
            },
        }
    }
    if "ours_bf16" in names:
        answer[f"{case.name}_bf16"] = {"ratio": ratios(seconds["naive"], seconds["ours_bf16"])}
    return answer


def _agreement(naive: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Test accuracies of the cells that both computed: how many are equal, mean and largest difference."""
    both = naive.keys() & other.keys()
    differences = [other[cell] - naive[cell] for cell in both]
    return {
        "cells": len(differences),
        "equal": sum(difference == 0 for difference in differences),
        "mean_difference": statistics.fmean(differences),
        "largest_difference": max(map(abs, differences)),
        "mean_accuracy": statistics.fmean(other[cell] for cell in both),
    }


def plan_of(case: Case, precision: str = "fp32") -> Plan:
    """Plan of a case; keys depend on the precision, cells do not."""
    return expand(spec_of(tables_of(case, precision=precision)))


def time_step(
    case: Case, step: Step, cache: Path, folder: Path, cells: tuple[int, int] | None = None
) -> Timing:
    """Run the program of one step on a grid.

    Args:
        case: the grid.
        step: the program.
        cache: folder of packs with the case's images.
        folder: for files of this run; created, must not exist.
        cells: [first, last + 1] of the plan's cells; None for all. Only the baseline takes a part.

    Raises:
        LaunchError: if the program fails; the message ends with its last output.
    """
    folder.mkdir(parents=True)
    if step.options is None:
        return _sweep(case, step, cache, folder)
    part = cells or (0, len(plan_of(case).cells))
    answer = answer_of(
        "baseline",
        {"tables": tables_of(case), "cache": str(cache), "options": dict(step.options), "cells": part},
        folder,
        environment=ALLOCATOR_VARIABLES if step.allocator else {},
    )
    return Timing(answer["seconds"], answer["epochs"], part[1] - part[0], answer["accuracies"])


def _sweep(case: Case, step: Step, cache: Path, folder: Path) -> Timing:
    file, out = folder / "sweep.toml", folder / "sweep"
    file.write_text(tomli_w.dumps(tables_of(case, precision=step.precision)))
    command = ["-m", "lthsweep", "run", str(file), "--out", str(out), "--cache", str(cache), "--quiet"]
    started = time.perf_counter()
    call(command, {})
    seconds = time.perf_counter() - started
    plan, in_fp32 = plan_of(case, step.precision), plan_of(case)
    found = {key: read_summary(SweepDir(out).record(key)).metrics for key in plan.runs}
    return Timing(
        seconds,
        sum(float(metrics["epochs_trained"]) for metrics in found.values()),
        len(plan.cells),
        {
            same.run: float(found[cell.run]["test_accuracy"])
            for cell, same in zip(plan.cells, in_fp32.cells, strict=True)
        },
    )
