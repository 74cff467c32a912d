"""One benchmark: everything measured in turns, so that a busy minute falls on all programs alike; medians, spread."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lthsweep.bench.bound import measure_bound
from lthsweep.bench.cases import CASES, Case, tables_of
from lthsweep.bench.conditions import Busy, conditions
from lthsweep.bench.epochs import measure_epochs
from lthsweep.bench.grids import measure_grid
from lthsweep.bench.images import pack_images
from lthsweep.bench.memory import peaks, shares
from lthsweep.bench.probes import EPOCH, MEMORY, POOL, STEPS
from lthsweep.bench.programs import ask
from lthsweep.bench.rungs import LADDER
from lthsweep.bench.spread import ratios, spread
from lthsweep.launch.process_env import ALLOCATOR_VARIABLES, thread_variables

__all__ = ["PARTS", "Effort", "bench", "effort_of"]

Tell = Callable[[str], None]

GRIDS = ("lenet", "resnet20", "mobilenet_v2")

PARTS = (*GRIDS, "epoch", "loop", "pool", "memory")


@dataclass(frozen=True)
class Effort:
    """How much is measured at a size.

    Attributes:
        repeats: of every measurement, in turns.
        rungs: grid → rungs of `LADDER`.
        share: of a grid that a nested loop answers in each turn, see `lthsweep.bench.grids`.
        loop: case → (processes, rounds of each, steps of a round) of the comparison of loops.
        pools: sweeps for the bound.
        parts: what of `PARTS` there is.
    """

    repeats: int
    rungs: Mapping[str, tuple[str, ...]]
    share: float
    loop: Mapping[str, tuple[int, int, int]]
    pools: int
    parts: tuple[str, ...]


_EFFORTS: Mapping[str, Effort] = {
    "tiny": Effort(
        repeats=1,
        rungs=dict.fromkeys(GRIDS, tuple(LADDER)),
        share=0.5,
        loop={"lenet": (2, 1, 4)},
        pools=1,
        parts=PARTS,
    ),
    "quick": Effort(
        repeats=3,
        rungs={"lenet": ("naive", "ours"), "resnet20": ("naive", "ours", "ours_bf16")},
        share=1 / 8,
        loop={"lenet": (3, 4, 100), "resnet20": (1, 3, 5)},
        pools=1,
        parts=("lenet", "resnet20", "loop", "pool"),
    ),
    "full": Effort(
        repeats=3,
        rungs=dict.fromkeys(GRIDS, tuple(LADDER)),
        share=1 / 8,
        loop={"lenet": (5, 7, 200), "resnet20": (3, 3, 10)},
        pools=2,
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
                case = CASES[size][part]
                found |= measure_grid(case, effort.rungs[part], effort.share, repeats, folder / part, tell)
            elif part == "epoch":
                found["epoch"] = _epoch(EPOCH[size], repeats, folder / part, tell)
            elif part == "loop":
                found["loop"] = _loop(STEPS[size], effort.loop, folder, tell)
            elif part == "pool":
                found["pool"] = _pool(POOL[size], effort.pools, folder, tell)
            elif part == "memory":
                found["memory"] = _memory(MEMORY[size], repeats, folder, tell)
            found[part]["others_share"] = share.others()
    return found | {"conditions": conditions(busy)}


def _epoch(case: Case, repeats: int, folder: Path, tell: Tell) -> dict[str, Any]:
    images = pack_images(case, folder / "cache")
    found = measure_epochs(case, folder / "cache", folder, repeats)
    for way in found["ways"].values():
        tell(f"epoch, {way['name']}: {way['seconds']['median']:.2f} s")
    assert case.images is not None
    counts = {"train_images": case.images[0], "test_images": case.images[1], "batch_size": case.batch_size}
    return {"images": images, "model": case.model["name"], **counts, **found}


def _loop(
    cases: Mapping[str, Case], effort: Mapping[str, tuple[int, int, int]], folder: Path, tell: Tell
) -> dict[str, Any]:
    """The ratio is that of the slowest of all comparisons, LeNet's and ResNet-20's, dense and ticket.

    Where tensors come to lie differs from one process to the next, and a step of LeNet by several percent with it.
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
            ask("bare", request, place, ALLOCATOR_VARIABLES | thread_variables(1)) for _ in range(processes)
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
            tell(
                f"loop, {name} {kind}: {comparisons[f'{name} {kind}']['processor']['ratio']['median']:.3f} of bare"
            )
    compared = [one["processor"]["ratio"] for one in comparisons.values()]
    worst = min(compared, key=lambda ratio: float(ratio["median"]))
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


def _memory(case: Case, repeats: int, folder: Path, tell: Tell) -> dict[str, Any]:
    place = folder / case.name
    images = pack_images(case, place / "cache")
    found = peaks(case, place / "cache", place, repeats=repeats)
    shared = shares(case, place / "cache", place)
    tell(f"memory: peak {found['ratio']['median']:.3f} of bare, {shared['copies']:.2f} copies of the images")
    return {"images": images, "peak": found, "shared": shared}
