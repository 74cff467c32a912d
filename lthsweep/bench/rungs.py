"""The ladder: from a nested loop to our sweep, one step of work at a time, each timed over a grid."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from lthsweep.bench.cases import Case, tables_of
from lthsweep.bench.programs import ask, call
from lthsweep.launch.process_env import ALLOCATOR_VARIABLES
from lthsweep.plan.grid import expand
from lthsweep.plan.run import Plan
from lthsweep.spec import spec_of
from lthsweep.store.layout import SweepDir
from lthsweep.store.record import read_summary

__all__ = ["LADDER", "Climb", "Rung", "climb", "plan_of"]


@dataclass(frozen=True)
class Rung:
    """One program that answers all cells of a grid.

    Attributes:
        name: for people, what it has that the rung before has not.
        habits: of `lthsweep.bench.naive`; None is `lthsweep run`.
        allocator: whether it runs with our settings of glibc's allocator.
        precision: of the recipe.
        iterative: it differs from the rung before only where levels form chains.
    """

    name: str
    habits: Mapping[str, Any] | None = None
    allocator: bool = False
    precision: str = "fp32"
    iterative: bool = False

    @property
    def independent(self) -> bool:
        """Whether each cell is answered from nothing, so that a part of the grid tells what the whole would cost."""
        return self.habits is not None and not self.habits.get("shared_trunk")


LADDER: Mapping[str, Rung] = {
    "naive": Rung("naive nested loop", {}),
    "loaders": Rung("  the same with 2 loader processes", {"loader_workers": 2}),
    "trunk": Rung("+ shared trunk", {"shared_trunk": True}),
    "chains": Rung("+ shared chains", {"shared_trunk": True, "shared_chains": True}, iterative=True),
    "resident": Rung("+ resident data", {"shared_trunk": True, "shared_chains": True, "resident": True}),
    "layout": Rung(
        "+ channels-last, allocator",
        {"shared_trunk": True, "shared_chains": True, "resident": True, "channels_last": True},
        allocator=True,
    ),
    "ours": Rung("+ pinned processes: `lthsweep run`"),
    "ours_bf16": Rung("+ bf16", precision="bf16"),
}
"""From the bottom; "loaders" stands beside the ladder."""


@dataclass(frozen=True)
class Climb:
    """What one rung did with a grid.

    Attributes:
        seconds: to answer all cells; of ours from the start of the command to the table on disk.
        epochs: of training.
        cells: answered.
        accuracies: key of the answering run in fp32 → test accuracy.
    """

    seconds: float
    epochs: float
    cells: int
    accuracies: Mapping[str, float] = field(repr=False)

    def __add__(self, other: Climb) -> Climb:
        """Two parts of a grid."""
        return Climb(
            self.seconds + other.seconds,
            self.epochs + other.epochs,
            self.cells + other.cells,
            {**self.accuracies, **other.accuracies},
        )


def plan_of(case: Case, precision: str = "fp32") -> Plan:
    """The plan of a case; keys differ by precision, cells do not."""
    return expand(spec_of(tables_of(case, precision=precision)))


def climb(case: Case, rung: Rung, cache: Path, folder: Path, cells: tuple[int, int] | None = None) -> Climb:
    """Run one rung's program over a grid.

    Args:
        case: the grid.
        rung: the program.
        cache: folder of packs with the case's images.
        folder: for files of this run; made, and must not exist.
        cells: [first, last + 1] of the plan's cells; None for all. Only nested loops take parts.

    Raises:
        LaunchError: if the program fails; the message ends with its last words.
    """
    folder.mkdir(parents=True)
    if rung.habits is None:
        return _sweep(case, rung, cache, folder)
    part = cells or (0, len(plan_of(case).cells))
    answer = ask(
        "naive",
        {"tables": tables_of(case), "cache": str(cache), "habits": dict(rung.habits), "cells": part},
        folder,
        environment=ALLOCATOR_VARIABLES if rung.allocator else {},
    )
    return Climb(answer["seconds"], answer["epochs"], part[1] - part[0], answer["accuracies"])


def _sweep(case: Case, rung: Rung, cache: Path, folder: Path) -> Climb:
    file, out = folder / "sweep.toml", folder / "sweep"
    file.write_text(tomli_w.dumps(tables_of(case, precision=rung.precision)))
    command = ["-m", "lthsweep", "run", str(file), "--out", str(out), "--cache", str(cache), "--quiet"]
    started = time.perf_counter()
    call(command, {})
    seconds = time.perf_counter() - started
    plan, same = plan_of(case, rung.precision), plan_of(case)
    found = {key: read_summary(SweepDir(out).record(key)).metrics for key in plan.runs}
    return Climb(
        seconds,
        sum(float(metrics["epochs_trained"]) for metrics in found.values()),
        len(plan.cells),
        {
            in_fp32.run: float(found[cell.run]["test_accuracy"])
            for cell, in_fp32 in zip(plan.cells, same.cells, strict=True)
        },
    )
