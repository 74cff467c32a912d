"""Cases of the benchmark: small sweeps of three networks on three data sets, in sizes from seconds to an hour.

A case has the grid of a real sweep with few images and few epochs. The time of a cell is proportional to its
images, so the ratio of two programs on the same cells hardly depends on the number of images. Start-up counts,
so small sizes put the program that starts workers at a disadvantage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lthsweep.errors import look_up

__all__ = ["CASES", "EPOCH", "LOOP", "MEMORY", "POOL", "SIZES", "Case", "case_of", "tables_of"]

Sparsities = tuple[float, ...]


@dataclass(frozen=True)
class Case:
    """A grid and the recipe of its cells.

    Attributes:
        name: of the case.
        model, data, optimizer: tables of the file.
        batch_size, epochs: of the recipe.
        images: number of training images (including validation) and of test images; None for the whole data set.
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
"""Optimizer of the convolutional networks."""


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
        batch_size=32,  # more steps per epoch than with the usual 128
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
"""Size → name → case."""

_EPOCH = Case(
    name="epoch",
    model={"name": "lenet_300_100"},
    data={"name": "mnist", "validation": 0},
    optimizer={"name": "sgd", "lr": 0.1},
    batch_size=128,
    epochs=1,
    images=(60_000, 10_000),
    sparsities=(0.0,),
    rewinds=(0,),
)

EPOCH: Mapping[str, Case] = {"tiny": replace(_EPOCH, images=(260, 40)), "full": _EPOCH}
"""One dense epoch of LeNet and a test, by size; the recipe is the default of open_lth."""

LOOP: Mapping[str, Mapping[str, Case]] = {
    "tiny": {"lenet": CASES["tiny"]["lenet"]},
    "quick": {
        "lenet": replace(CASES["quick"]["lenet"], images=(55_000, 10)),
        "resnet20": replace(CASES["quick"]["resnet20"], images=(1_600, 10)),
    },
    "full": {
        "lenet": replace(CASES["full"]["lenet"], images=(55_000, 10)),
        "resnet20": replace(CASES["full"]["resnet20"], images=(6_400, 10), batch_size=128),
    },
}
"""Cases of the step-loop comparison, by size: epochs of a usual length, so that their ends have the usual share."""

MEMORY: Mapping[str, Case] = {
    "tiny": replace(CASES["tiny"]["lenet"], name="memory"),
    "full": Case(
        name="memory",
        model={"name": "mobilenet_v2", "strides": "cifar"},
        data={"name": "cifar10", "validation": 250},
        optimizer=SGD,
        batch_size=128,
        epochs=1,
        images=(250 + 3 * 128, 250),
        sparsities=(0.5,),
        rewinds=(0,),
    ),
}
"""Case of the peak-memory comparison, by size."""

_DEMO: dict[str, Any] = {
    "sweep": {
        "name": "bench-pool",
        "model": {"name": "mobilenet_v2", "width": 0.35},
        "data": {"name": "digits", "size": 32, "validation": 150},
    },
    "train": {
        "epochs": 8,
        "batch_size": 64,
        "optimizer": {**SGD, "lr": 0.02},
        "schedule": {"name": "cosine", "warmup": 1},
    },
    "prune": {"scope": "layer"},
    "grid": {"sparsity": [0.3, 0.5, 0.6, 0.7], "rewind_epoch": [0, 1, 2], "seed": [0, 1, 2, 3]},
    "local": {"devices": "cpu"},
}

POOL: Mapping[str, Mapping[str, Any]] = {
    "tiny": _DEMO
    | {
        "sweep": {
            "name": "bench-pool",
            "model": {"name": "lenet_300_100"},
            "data": {"name": "digits", "size": 8},
        },
        "train": {"epochs": 2},
        "grid": {"sparsity": [0.5, 0.8], "seed": [0, 1]},
    },
    "quick": _DEMO
    | {"train": _DEMO["train"] | {"epochs": 5}, "grid": {"sparsity": [0.5, 0.6, 0.7, 0.8], "seed": [0, 1]}},
    "full": _DEMO,
}
"""Sweep file of the comparison with the bound, by size; "full" is the preset digits-mobilenetv2."""

SIZES = tuple(CASES)


def case_of(size: str, name: str) -> Case:
    """The case with a name, at a size.

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
