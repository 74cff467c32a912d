"""Synthetic frames of a sweep with the columns of the reducer; numbers loosely after MobileNetV2 on digits."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lthsweep.report.content import ReportInput

LAYERS = tuple(
    ["features.0.0"]
    + [f"features.{i}.conv.{part}" for i in range(1, 6) for part in ("0.0", "1.0", "2")]
    + ["classifier.1"]
)
TOTAL = 2_223_872


def sweep(
    *,
    sparsities: Sequence[float] = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98),
    rewinds: Sequence[Any] = (0, 1, 2, 4),
    seeds: int = 3,
    epochs: int = 8,
    further: Mapping[str, Sequence[Any]] | None = None,
    missing: Sequence[tuple[float, Any]] = (),
    failed: Sequence[tuple[float, Any]] = (),
    one_missing: Sequence[tuple[float, Any]] = (),
    cut: str = "sparsity",
    name: str = "mobilenetv2-digits",
) -> ReportInput:
    """A sweep whose (sparsity, rewind epoch) grid points in `missing` or `failed` lack all seeds.

    `one_missing` grid points lack only their last seed.
    """
    random = np.random.default_rng(7)
    tickets, runs, curves, layers = [], [], [], []
    axes = dict(further or {})
    for values in itertools.product(*axes.values()):
        extra = dict(zip(axes, values, strict=True))
        tag = "-".join(map(str, values))
        dense = {}
        for seed in range(seeds):
            key = f"dense{tag}{seed}"
            dense[seed] = 0.969 + 0.003 * random.standard_normal()
            runs.append(
                {
                    "key": key,
                    "kind": "dense",
                    "state": "done",
                    "trunk": key,
                    "parent": "",
                    "level": 0,
                    cut: math.nan,
                    "rewind_epoch": "",
                    "seed": seed,
                    "test_accuracy": dense[seed],
                    "steps_per_epoch": 21,
                    **extra,
                }
            )
            curves += _curve(key, 0, epochs, dense[seed])
        for s, k in itertools.product(sparsities, rewinds):
            state = "missing" if (s, k) in missing else "failed" if (s, k) in failed else "done"
            accuracies, differences, alive = [], [], 0
            dead = list(LAYERS[7:9]) if s >= 0.95 and _number(k) < 2 else []
            for seed in range(seeds):
                key = f"t{tag}-{s}-{k}-{seed}"
                now = "missing" if (s, k) in one_missing and seed == seeds - 1 else state
                accuracy = 0.1 if dead else dense[seed] - 0.16 * s**6 / (1 + 6 * _number(k) ** 2)
                accuracy += 0.0005 * random.standard_normal()
                done = now == "done"
                runs.append(
                    {
                        "key": key,
                        "kind": "ticket",
                        "state": now,
                        "trunk": f"dense{tag}{seed}",
                        "parent": f"dense{tag}{seed}",
                        "level": 1,
                        cut: s,
                        "rewind_epoch": str(k),
                        "seed": seed,
                        "test_accuracy": accuracy if done else math.nan,
                        "steps_per_epoch": 21 if done else math.nan,
                        **extra,
                    }
                )
                if done:
                    alive += 1
                    accuracies.append(accuracy)
                    differences.append(accuracy - dense[seed])
                    curves += _curve(key, int(_number(k)), epochs, accuracy)
                    for i, layer in enumerate(LAYERS):
                        left = (1 - s) ** (0.4 + 1.2 * i / len(LAYERS)) * (0 if layer in dead else 1)
                        layers.append(
                            {
                                "key": key,
                                "layer": layer,
                                "size": 320 * (i + 1) ** 2,
                                "remaining": int(320 * (i + 1) ** 2 * left),
                                "sparsity": 1 - left,
                                "dead": layer in dead,
                            }
                        )
            tickets.append(
                _ticket(cut, s, k, seeds, state, alive, dense, accuracies, differences, dead, extra)
            )
    return ReportInput(
        name=name,
        margin=0.002,
        confidence=0.95,
        tickets=pd.DataFrame(tickets),
        runs=pd.DataFrame(runs),
        curves=pd.DataFrame(curves),
        layers=pd.DataFrame(layers),
        description="Handwritten digits, width 0.5",
        folder=f"results/{name}",
        spec_text='[sweep]\nname = "mobilenetv2-digits"\n\n[train]\nepochs = 8\n',
    )


def _number(k: Any) -> float:
    return float(str(k).removesuffix("it")) / (21 if str(k).endswith("it") else 1)


def _ticket(
    cut: str,
    s: float,
    k: Any,
    seeds: int,
    state: str,
    alive: int,
    dense: dict[int, float],
    accuracies: list[float],
    differences: list[float],
    dead: list[str],
    extra: dict[str, Any],
) -> dict[str, Any]:
    mean = float(np.mean(accuracies)) if alive else math.nan
    difference = float(np.mean(differences)) if alive else math.nan
    half = 4.3 * float(np.std(differences, ddof=1)) / math.sqrt(alive) if alive > 1 else math.nan
    if state != "done":
        verdict = state
    elif not half < math.inf:
        verdict = "undecided"
    elif difference - half >= -0.002:
        verdict = "winning" if _number(k) == 0 else "matching"
    else:
        verdict = "not matching" if difference + half < -0.002 else "undecided"
    left = 1 - s
    return {
        cut: s,
        "rewind_epoch": str(k),
        **extra,
        "n": alive,
        "n_planned": seeds,
        "n_failed": seeds if state == "failed" else 0,
        "n_missing": seeds if state == "missing" else seeds - alive if state == "done" else 0,
        "n_diverged": 0,
        "dense_accuracy": float(np.mean(list(dense.values()))),
        "ticket_accuracy": mean,
        "ticket_sd": float(np.std(accuracies, ddof=1)) if alive > 1 else math.nan,
        "difference": difference,
        "ci_low": difference - half,
        "ci_high": difference + half,
        "verdict": verdict,
        "weights_remaining": left if alive else math.nan,
        "compression": 1 / left if alive else math.nan,
        "pruned_accuracy": max(0.1, mean - 3 * s**3) if alive else math.nan,
        "steps_to_dense": 84.0 if verdict in ("winning", "matching") else math.nan,
        "macs_remaining": 6.1e6 * left if alive else math.nan,
        "macs_dense": 6.1e6,
        "bytes_sparse": TOTAL * 4.2 * left if alive else math.nan,
        "bytes_dense": TOTAL * 4,
        "seconds_train": 13.2 if alive else math.nan,
        "dead_layers": ",".join(dead) if alive else "",
        "audit_ok": True if alive else None,
    }


def _curve(key: str, start: int, epochs: int, final: float) -> list[dict[str, Any]]:
    rows = []
    for epoch in range(start + 1, epochs + 1):
        value = 0.1 + (final - 0.1) * (1 - math.exp(-0.9 * (epoch - start)))
        rows.append(
            {
                "key": key,
                "epoch": epoch,
                "step": 21 * epoch,
                "train_loss": 2.3 * (1 - value),
                "train_accuracy": value,
                "val_loss": 2.3 * (1 - value),
                "val_accuracy": value - 0.004,
                "lr": 0.05,
                "seconds": 1.6,
            }
        )
    return rows
