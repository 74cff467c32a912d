"""All parts of the benchmark. Programs take turns, so that a busy minute affects all of them alike."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lthsweep.launch.process_env import ALLOCATOR_VARIABLES, thread_variables
from tests.benchmarks.bound import measure_bound
from tests.benchmarks.cases import CASES, EPOCH, LOOP, MEMORY, POOL, Case, tables_of
from tests.benchmarks.epochs import measure_epochs
from tests.benchmarks.figures import Busy, conditions, ratios, spread
from tests.benchmarks.grids import STEPS, measure_grid
from tests.benchmarks.images import pack_images
from tests.benchmarks.memory import peaks, shares
from tests.benchmarks.programs import answer_of

__all__ = ["PARTS", "measure"]

Progress = Callable[[str], None]

GRIDS = ("lenet", "resnet20", "mobilenet_v2")

PARTS = (*GRIDS, "epoch", "loop", "pool", "memory")


@dataclass(frozen=True)
class Effort:
    """Amount of measurements at a size.

    Attributes:
        repeats: of every measurement, in turns.
        steps: grid → names in `STEPS`.
        share: of a grid that a nested loop computes in each turn, see `measure_grid`.
        loop: case → (processes, rounds of each, steps of a round) for the comparison of step loops.
        pools: sweeps for the comparison with the bound.
        parts: subset of `PARTS`.
    """

    repeats: int
    steps: Mapping[str, tuple[str, ...]]
    share: float
    loop: Mapping[str, tuple[int, int, int]]
    pools: int
    parts: tuple[str, ...]


_EFFORTS: Mapping[str, Effort] = {
    "tiny": Effort(
        repeats=1,
        steps=dict.fromkeys(GRIDS, tuple(STEPS)),
        share=0.5,
        loop={"lenet": (2, 1, 4)},
        pools=1,
        parts=PARTS,
    ),
    "quick": Effort(
        repeats=3,
        steps={"lenet": ("naive", "ours"), "resnet20": ("naive", "ours", "ours_bf16")},
        share=1 / 8,
        loop={"lenet": (3, 4, 100), "resnet20": (1, 3, 5)},
        pools=1,
        parts=("lenet", "resnet20", "loop", "pool"),
    ),
    "full": Effort(
        repeats=3,
        steps=dict.fromkeys(GRIDS, tuple(STEPS)),
        share=1 / 8,
        loop={"lenet": (5, 7, 200), "resnet20": (3, 3, 10)},
        pools=2,
        parts=PARTS,
    ),
}


def measure(
    size: str,
    *,
    only: Collection[str] = (),
    repeats: int | None = None,
    progress: Progress = lambda line: None,
) -> dict[str, Any]:
    """The figures of bench.json (docs/benchmarks.md), as plain values.

    Args:
        size: "tiny" (checks that everything runs), "quick" or "full".
        only: parts to measure; empty for all parts of the size.
        repeats: replaces the size's number of repeats.
        progress: receives one line per measurement.

    Raises:
        LaunchError: if a program fails.
    """
    effort = _EFFORTS[size]
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
                case = CASES[size][part]
                found |= measure_grid(
                    case, effort.steps[part], effort.share, repeats, folder / part, progress
                )
            elif part == "epoch":
                found["epoch"] = _epoch(EPOCH[size], repeats, folder / part, progress)
            elif part == "loop":
                found["loop"] = _loop(LOOP[size], effort.loop, folder, progress)
            elif part == "pool":
                found["pool"] = _pool(POOL[size], effort.pools, folder, progress)
            elif part == "memory":
                found["memory"] = _memory(MEMORY[size], repeats, folder, progress)
            found[part]["others_share"] = share.others()
    return found | {"conditions": conditions(busy)}


def _epoch(case: Case, repeats: int, folder: Path, progress: Progress) -> dict[str, Any]:
    images = pack_images(case, folder / "cache")
    found = measure_epochs(case, folder / "cache", folder, repeats)
    for way in found["ways"].values():
        progress(f"epoch, {way['name']}: {way['seconds']['median']:.2f} s")
    assert case.images is not None
    counts = {"train_images": case.images[0], "test_images": case.images[1], "batch_size": case.batch_size}
    return {"images": images, "model": case.model["name"], **counts, **found}


def _loop(
    cases: Mapping[str, Case], effort: Mapping[str, tuple[int, int, int]], folder: Path, progress: Progress
) -> dict[str, Any]:
    """Bare loop against ours for every case; `bare_ratio` is the lowest of all comparisons.

    Several processes: memory addresses differ from one to the next, and change a LeNet step by several percent.
    """
    comparisons: dict[str, Any] = {}
    for name, (processes, rounds, steps) in effort.items():
        case = cases[name]
        place = folder / f"loop-{name}"
        pack_images(case, place / "cache")
        request = {
            "tables": tables_of(case),
            "cache": str(place / "cache"),
            "rounds": rounds,
            "steps": steps,
        }
        answers = [
            answer_of("bare", request, place, ALLOCATOR_VARIABLES | thread_variables(1))
            for _ in range(processes)
        ]
        for kind in answers[0]:
            seconds = {
                loop: [one for answer in answers for one in answer[kind][loop]] for loop in ("bare", "ours")
            }
            for clock, number in (("processor", 0), ("wall", 1)):
                bare, ours = ([one[number] for one in seconds[loop]] for loop in ("bare", "ours"))
                comparisons.setdefault(f"{name} {kind}", {})[clock] = {
                    "ratio": ratios(bare, ours),
                    "seconds_per_step": spread(one / steps for one in ours),
                }
            progress(
                f"loop, {name} {kind}: {comparisons[f'{name} {kind}']['processor']['ratio']['median']:.3f} of bare"
            )
    compared = [one["processor"]["ratio"] for one in comparisons.values()]
    worst = min(compared, key=lambda ratio: float(ratio["median"]))
    return {"bare_ratio": worst, "comparisons": comparisons}


def _pool(tables: Mapping[str, Any], pools: int, folder: Path, progress: Progress) -> dict[str, Any]:
    found = []
    for number in range(pools):
        bound = measure_bound(tables, folder / f"pool-{number}", folder / "pool-cache")
        progress(
            f"pool: {bound.wall:.1f} s, {bound.ratio:.3f} of the bound, first run after {bound.first:.1f} s"
        )
        found.append(bound)
    return {
        "bound_ratio": spread(one.ratio for one in found),
        "wall": spread(one.wall for one in found),
        "bound": spread(one.bound for one in found),
        "first": spread(one.first for one in found),
        "workers": found[0].workers,
        "runs": found[0].runs,
    }


def _memory(case: Case, repeats: int, folder: Path, progress: Progress) -> dict[str, Any]:
    place = folder / case.name
    images = pack_images(case, place / "cache")
    found = peaks(case, place / "cache", place, repeats=repeats)
    shared = shares(case, place / "cache", place)
    progress(
        f"memory: peak {found['ratio']['median']:.3f} of bare, {shared['copies']:.2f} copies of the images"
    )
    return {"images": images, "peak": found, "shared": shared}
