"""What is measured beside the ladder: one epoch, steps, memory, and how a pool of workers is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lthsweep.bench.cases import CASES, SGD, Case

__all__ = ["EPOCH", "MEMORY", "POOL", "STEPS"]

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
"""One dense epoch of LeNet and a test, by size; recipe and batch are the defaults of open_lth."""

STEPS: Mapping[str, Mapping[str, Case]] = {
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
"""Whose steps are compared with those by hand, by size and case: epochs of a usual length, so that their ends weigh
what they usually do."""

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
"""Whose peak of memory is taken, by size."""

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
"""The sweep of the bound, as its file, by size; "full" is the preset digits-mobilenetv2, the demo."""
