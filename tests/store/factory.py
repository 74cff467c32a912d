"""Plausible synthetic records, quickly: 10,000 in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lthsweep.plan.keys import key_of
from lthsweep.store.layout import SweepDir
from lthsweep.store.publish import commit_record
from lthsweep.store.record import Record, curve_table, layer_table


def make_record(
    number: int = 0,
    *,
    kind: str = "ticket",
    sparsity: float = 0.8,
    epochs: int = 10,
    layers: int = 53,
    weights_per_layer: int = 64,
    manifest: dict[str, Any] | None = None,
    metrics: dict[str, float] | None = None,
    **fields: Any,
) -> Record:
    """A record whose numbers are a function of `number`.

    Args:
        number: seed of everything invented here, and part of the manifest, so that keys differ.
        kind: "dense" or "ticket"; a dense run keeps all and has no masks.
        sparsity: share of weights removed, about.
        epochs, layers, weights_per_layer: sizes.
        manifest: what the key hashes, instead of the invented one.
        metrics: added to the invented ones.
        fields: replace whole fields of the record, e.g. `outcome`, `weights`.
    """
    rng = np.random.default_rng(number)
    dense = kind == "dense"
    chosen = manifest or {
        "kind": kind,
        "number": number,
        "sparsity": 0.0 if dense else sparsity,
        "epochs": epochs,
    }
    names = [f"features.{i // 3}.conv.{i % 3}.weight" for i in range(layers)]
    kept = rng.random((layers, weights_per_layer)) >= (0.0 if dense else sparsity)
    remaining = kept.sum(axis=1).tolist()
    noise = rng.random((epochs, 4)) / 50
    curve = [
        {
            "epoch": i + 1,
            "step": 100 * (i + 1),
            "train_loss": 1 / (i + 1) + noise[i, 0],
            "train_accuracy": 1 - 0.5 / (i + 1) - noise[i, 1],
            "val_loss": 1.2 / (i + 1) + noise[i, 2],
            "val_accuracy": 1 - 0.6 / (i + 1) - noise[i, 3],
            "lr": 0.1 * (1 - i / epochs),
            "seconds": 1.5 + noise[i, 0],
        }
        for i in range(epochs)
    ]
    total = layers * weights_per_layer
    measured: dict[str, float] = {
        "steps_per_epoch": 100,
        "steps_total": 100 * epochs,
        "rewind_step": 0,
        "epochs_trained": epochs,
        "level": 0 if dense else 1,
        "test_accuracy": float(curve[-1]["val_accuracy"]) if curve else float("nan"),
        "test_loss": float(curve[-1]["val_loss"]) if curve else float("nan"),
        "params_total": total + 2 * layers,
        "params_prunable": total,
        "params_remaining": int(sum(remaining)),
        "macs_dense": 1000 * total,
        "macs_remaining": 1000 * int(sum(remaining)),
        "bytes_dense": 4 * total,
        "bytes_sparse": 4 * int(sum(remaining)) + total // 8,
        "sparsity": 1 - sum(remaining) / total if total else 0.0,
        "threshold": float("nan"),
        "seconds_train": 1.5 * epochs,
        "seconds_test": 0.25,
        "images_per_second": 1000.0 + number % 100,
        "seconds_wall": 2.0 * epochs,
        **({} if dense else {"sparsity_asked": sparsity, "steps_to_dense": -1}),
        **(metrics or {}),
    }
    values: dict[str, Any] = {
        "key": key_of(chosen),
        "kind": kind,
        "manifest": chosen,
        "resolved": {"train": {"epochs": epochs, "batch_size": 128, "optimizer": {"name": "sgd", "lr": 0.1}}},
        "outcome": "finished",
        "metrics": measured,
        "curves": curve_table(curve),
        "layers": layer_table(names, [weights_per_layer] * layers, remaining),
        "masks": {} if dense else dict(zip(names, kept, strict=True)),
        "provenance": {"host": "node01", "device": "cpu", "precision": "fp32", "threads": 1, "attempts": 1},
        "audit": {} if dense else {"ok": True, "exact": True, "dead_layers": []},
        "weights": {},
        **fields,
    }
    return Record(**values)


def fill(sweep: SweepDir, count: int, **options: Any) -> list[str]:
    """Publish `count` records without fsync, through the public writer; returns their keys in order."""
    sweep.create()
    keys = []
    for number in range(count):
        record = make_record(number, **options)
        commit_record(sweep, record, durable=False)
        keys.append(record.key)
    return keys


def names(folder: Path) -> list[str]:
    """The contents of a folder, including hidden files, sorted."""
    return sorted(path.name for path in folder.iterdir())
