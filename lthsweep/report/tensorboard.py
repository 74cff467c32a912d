"""Learning curves as TensorBoard's event files, one folder per run, made from the table after the fact.

Nothing writes them while runs train: event files are appended to by one process each, and there would be thousands on
a cluster. Whoever wants to look with TensorBoard makes them on request. The package `tensorboard` is optional.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lthsweep.errors import QueryError, StoreError
from lthsweep.report.axes import canonical
from lthsweep.report.content import ReportInput
from lthsweep.report.numbers import as_float

__all__ = ["PER_EPOCH", "PER_RUN", "write_tensorboard"]

PER_EPOCH: Mapping[str, str] = {
    "accuracy/train": "train_accuracy",
    "accuracy/validation": "val_accuracy",
    "loss/train": "train_loss",
    "loss/validation": "val_loss",
    "learning_rate": "lr",
    "seconds": "seconds",
}
"""Tag → column of /curves; the step is the epoch."""

PER_RUN: Mapping[str, str] = {
    "accuracy/test": "test_accuracy",
    "loss/test": "test_loss",
    "accuracy/pruned, before retraining": "pruned_test_accuracy",
    "sparsity": "sparsity_achieved",
}
"""Tag → column of /runs: one value each, at the last epoch."""

_FOREIGN = re.compile(r"[^A-Za-z0-9.=_-]+")


def write_tensorboard(report: ReportInput, folder: Path) -> list[Path]:
    """Write an event file for every run that has a learning curve.

    Wall time is not in the table, so that of an event is the seconds trained up to it, counted from 1970: "relative"
    is the sensible setting in TensorBoard.

    Args:
        report: the runs and curves.
        folder: a new or empty folder. TensorBoard adds up all event files of a folder, so old ones would double them.

    Returns:
        The folder of each run, in the order of the table.

    Raises:
        QueryError: if the package `tensorboard` is not installed, or the folder is not empty.
        StoreError: if it cannot be written.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as error:
        raise QueryError(
            f"event files need the package tensorboard ({error}); pip install 'lthsweep[tensorboard]'"
        ) from None
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise QueryError(f"{folder} is there and not empty; name a new folder for the event files")
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, events in _runs(report):
            writer = EventFileWriter(str(folder / name))
            for seconds, epoch, values in events:
                scalars = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
                writer.add_event(Event(wall_time=seconds, step=epoch, summary=Summary(value=scalars)))
            writer.close()
            written.append(folder / name)
    except OSError as error:
        raise StoreError(f"cannot write event files in {folder}: {error.strerror or error}") from error
    return written


def _runs(report: ReportInput) -> Iterator[tuple[str, list[tuple[float, int, dict[str, float]]]]]:
    """(folder, events) of each run that has a curve; an event is (seconds trained, epoch, tag → value)."""
    if report.curves.empty or "key" not in report.runs:
        return
    curves = {str(key): rows.sort_values("epoch") for key, rows in report.curves.groupby("key", sort=False)}
    axes = (*report.axes.names, "seed")
    for run in report.runs.to_dict("records"):
        if run["key"] in curves:
            yield _folder(run, axes), _events(run, curves[run["key"]])


def _folder(run: Mapping[Any, Any], axes: tuple[str, ...]) -> str:
    """A name that sorts and can be searched in TensorBoard; the key at its end makes it unique."""
    told = [(axis.rpartition(".")[2], canonical(run.get(axis))) for axis in axes]
    if run.get("kind") == "dense":
        told = [
            (axis, value) for axis, value in told if axis not in ("sparsity", "threshold", "rewind_epoch")
        ]
    parts = [str(run.get("kind", "run")), *(f"{axis}={value}" for axis, value in told if value)]
    return _FOREIGN.sub("_", "-".join(parts))[:150] + "-" + _FOREIGN.sub("_", str(run["key"]))[:8]


def _events(run: Mapping[Any, Any], curve: pd.DataFrame) -> list[tuple[float, int, dict[str, float]]]:
    rows = curve.to_dict("records")
    events, seconds = [], 0.0
    for row in rows:
        spent = as_float(row.get("seconds"))
        seconds += spent if math.isfinite(spent) else 0.0
        events.append((seconds, int(row["epoch"]), _known(PER_EPOCH, row)))
    if rows:
        events.append((seconds, int(rows[-1]["epoch"]), _known(PER_RUN, run)))
    return events


def _known(tags: Mapping[str, str], row: Mapping[Any, Any]) -> dict[str, float]:
    """The values that there are."""
    found = {tag: as_float(row[column]) for tag, column in tags.items() if column in row}
    return {tag: value for tag, value in found.items() if not math.isnan(value)}
