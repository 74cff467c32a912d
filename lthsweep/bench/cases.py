"""What the ladder is climbed with: three networks on three data sets, at sizes from seconds to most of an hour.

A case is a small sweep with every cell of a real one: few images and few epochs, the same grid. The time of a cell is
proportional to its images, so a ratio of two programs over the same cells does not depend on how many there are, once
start-up is a small part; start-up is counted, so small sizes are unkind to the program that starts workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lthsweep.errors import look_up

__all__ = ["CASES", "SGD", "SIZES", "Case", "case_of", "tables_of"]

Sparsities = tuple[float, ...]


@dataclass(frozen=True)
class Case:
    """A grid and the recipe of its cells.

    Attributes:
        name: of the case.
        model, data, optimizer: tables of the file.
        batch_size, epochs: of the recipe.
        images: training images, those held out among them, and test images; None where the data set is taken whole.
        sparsities, rewinds: the grid; one seed.
        schedule: "one-shot" or "iterative".
    """

    name: str
    model: Mapping[str, Any]
    data: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    batch_size: int
    epochs: int
    images: tuple[int, int] | None
    sparsities: Sparsities
    rewinds: tuple[int, ...]
    schedule: str = "one-shot"


_EIGHT = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
SGD: Mapping[str, Any] = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4}
"""Of the convolutional networks."""


def _lenet(images: tuple[int, int], validation: int, **changes: Any) -> Case:
    case = Case(
        name="lenet",
        model={"name": "lenet_300_100", "init": "xavier_normal"},
        data={"name": "mnist", "validation": validation},
        optimizer={"name": "adam", "lr": 1.2e-3},
        batch_size=60,
        epochs=4,
        images=images,
        sparsities=_EIGHT,
        rewinds=(0, 1, 2, 3),
    )
    return replace(case, **changes)


def _resnet(images: tuple[int, int], validation: int, **changes: Any) -> Case:
    case = Case(
        name="resnet20",
        model={"name": "resnet20"},
        data={"name": "cifar10", "validation": validation, "augment": "crop-flip"},
        optimizer=SGD,
        batch_size=32,  # of few images more steps than with the usual 128
        epochs=4,
        images=images,
        sparsities=_EIGHT,
        rewinds=(0, 1, 2, 3),
    )
    return replace(case, **changes)


_MOBILENET = Case(
    name="mobilenet_v2",
    model={"name": "mobilenet_v2", "width": 0.5},
    data={"name": "digits", "size": 32, "validation": 150},
    optimizer=SGD,
    batch_size=64,
    epochs=3,
    images=None,
    sparsities=(0.5, 0.75),
    rewinds=(0, 1),
    schedule="iterative",
)

_TINY: dict[str, Any] = {"sparsities": (0.5, 0.8), "rewinds": (0, 1), "epochs": 2}

CASES: Mapping[str, Mapping[str, Case]] = {
    "tiny": {
        "lenet": _lenet((250, 40), 70, **_TINY),
        "resnet20": _resnet((64, 16), 16, batch_size=16, **_TINY),
        "mobilenet_v2": replace(
            _MOBILENET,
            model={"name": "mobilenet_v2", "width": 0.1},
            data={"name": "digits", "size": 8, "validation": 20},
            images=(60, 20),
            batch_size=20,
            epochs=2,
        ),
    },
    "quick": {"lenet": _lenet((2_700, 450), 300), "resnet20": _resnet((240, 16), 16)},
    "full": {
        "lenet": _lenet((11_000, 2_000), 1_000),
        "resnet20": _resnet((352, 64), 32),
        "mobilenet_v2": _MOBILENET,
    },
}
"""Size → case → what it is at that size."""

SIZES = tuple(CASES)


def case_of(size: str, name: str) -> Case:
    """Look a case up.

    Raises:
        UnknownNameError: if there is no such size, or no such case at that size.
    """
    return look_up("case", name, look_up("size", size, CASES))


def tables_of(case: Case, *, precision: str = "fp32") -> dict[str, Any]:
    """The sweep's file as plain tables; one worker per core, pinned, on CPU."""
    return {
        "sweep": {"name": f"bench-{case.name}", "model": dict(case.model), "data": dict(case.data)},
        "train": {
            "epochs": case.epochs,
            "batch_size": case.batch_size,
            "precision": precision,
            "optimizer": dict(case.optimizer),
            "schedule": {"name": "cosine"},
        },
        "prune": {"schedule": case.schedule, "scope": "global"},
        "grid": {"sparsity": list(case.sparsities), "rewind_epoch": list(case.rewinds), "seed": [0]},
        "local": {"devices": "cpu"},
    }
