"""What the figures by value are drawn from: the grid points of a value, and the epochs of its runs."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lthsweep.report.content import Part, ReportInput
from lthsweep.report.summary import remaining

__all__ = ["epochs_of_value", "points_of_value"]


def points_of_value(value: str, part: Part, cut: str, axis: str) -> pd.DataFrame:
    """rewind_epoch, left, mean, low, high, n of each grid point with a result; the dense runs have no rewind epoch."""
    left = dict(
        zip(
            zip(part.tickets[cut], part.tickets["rewind_epoch"], strict=True),
            remaining(part.tickets),
            strict=True,
        )
    )
    rows = []
    trained = _finite(part.runs)
    for (amount, rewind), here in trained.groupby([cut, "rewind_epoch"]):
        rows.append((value, rewind, left.get((amount, rewind), math.nan), here["test_accuracy"]))
    dense = _finite(_own_dense(part, axis, value))
    if len(dense):
        rows.append((value, "", 1.0, dense["test_accuracy"]))
    numbers = [
        {
            "value": value,
            "rewind_epoch": rewind,
            "left": share,
            "mean": float(found.mean()),
            "low": float(found.min()),
            "high": float(found.max()),
            "n": len(found),
        }
        for value, rewind, share, found in rows
        if share > 0
    ]
    columns = ["value", "rewind_epoch", "left", "mean", "low", "high", "n"]
    return pd.DataFrame(numbers, columns=columns).sort_values("left", kind="stable", ascending=False)


def _own_dense(part: Part, axis: str, value: str) -> pd.DataFrame:
    """Dense runs of this value alone; ways of pruning share theirs."""
    return part.dense[part.dense[axis] == value] if axis in part.dense else part.dense.iloc[:0]


def _finite(runs: pd.DataFrame) -> pd.DataFrame:
    if "test_accuracy" not in runs:
        return runs.iloc[:0].assign(test_accuracy=pd.Series(dtype=float))
    numbers = _numbers(runs, "test_accuracy")
    return runs.assign(test_accuracy=numbers)[np.isfinite(numbers)]


def epochs_of_value(value: str, part: Part, report: ReportInput, metric: str, axis: str) -> pd.DataFrame:
    """One row per run and epoch; `at` counts the epochs of its run, `y` is what is drawn, `test` what it ended with."""
    cut = report.axes.cut
    left = dict(zip(part.tickets[cut], remaining(part.tickets), strict=True))
    runs = pd.concat([_own_dense(part, axis, value), part.runs])
    columns = ["value", "key", "level", "cut", "rewind_epoch", "left", "at", "epoch", "y", "test"]
    if runs.empty or report.curves.empty or metric not in report.curves or "key" not in runs:
        return pd.DataFrame(columns=columns)
    dense = (runs["kind"] == "dense").to_numpy()
    about = pd.DataFrame(
        {
            "key": runs["key"].to_numpy(),
            "level": np.where(dense, 0, np.nan_to_num(_numbers(runs, "level"), nan=1)).astype(int),
            "cut": np.where(dense, "", runs[cut]),
            "rewind_epoch": np.where(dense, "", runs["rewind_epoch"]),
            "left": [
                1.0 if is_dense else left.get(c, math.nan)
                for is_dense, c in zip(dense, runs[cut], strict=True)
            ],
            "test": 100 * _numbers(runs, "test_accuracy"),
        }
    )
    curves = report.curves[["key", "epoch", metric]].rename(columns={metric: "y"})
    found = curves.merge(about, on="key").sort_values(["key", "epoch"], kind="stable")
    found["y"] = 100 * pd.to_numeric(found["y"], errors="coerce")
    found["at"] = found.groupby("key").cumcount() + 1
    found["value"] = value
    return found.dropna(subset=["y", "epoch"])[columns]


def _numbers(frame: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """A column as floats, NaN where there is none."""
    if column not in frame:
        return np.full(len(frame), math.nan)
    return np.asarray(pd.to_numeric(frame[column], errors="coerce"), dtype=float)
