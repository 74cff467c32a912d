"""The hook between the steps of a training: periodic checkpoints, progress reports, and early stops."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lthsweep.errors import CorruptRecordError
from lthsweep.lottery.context import to_arrays, to_tensors
from lthsweep.lottery.result import Checkpoint
from lthsweep.store.layout import SweepDir
from lthsweep.store.verify import set_aside
from lthsweep.store.weights import load_arrays, load_metadata, save_arrays
from lthsweep.training.progress import ProgressReport
from lthsweep.training.state import Training

__all__ = ["CheckpointHook", "ReportProgress", "load_checkpoint"]

_REPORT_SECONDS = 1.0


ReportProgress = Callable[[ProgressReport], None]
"""Receives the progress of a run."""


class CheckpointHook:
    """Called before every step of a training (a `BetweenSteps`).

    Args:
        checkpoint: file for checkpoints; None for a replay, which is too short for one.
        seconds: time between two periodic checkpoints. A run that is asked to stop writes one as well.
        stop: returns whether the training has to end here.
        report: receives the progress about once a second.
    """

    def __init__(
        self, checkpoint: Path | None, seconds: float, stop: Callable[[], bool], report: ReportProgress
    ) -> None:
        self._checkpoint = checkpoint
        self._seconds = seconds
        self._stop = stop
        self._report = report
        self._next_checkpoint = time.monotonic() + seconds
        self._next_report = 0.0
        self._first: tuple[int, float] | None = None

    def __call__(self, training: Training) -> bool:
        """Write a checkpoint and report progress when they are due; return whether the training has to stop."""
        now = time.monotonic()
        stopping = self._stop()
        if stopping or now >= self._next_checkpoint:
            self.save(training)
        if now >= self._next_report:
            self._next_report = now + _REPORT_SECONDS
            self._report_progress(training, now)
        return stopping

    def save(self, training: Training) -> None:
        """Write a checkpoint now. Call it between two steps only."""
        if self._checkpoint is not None:
            tensors, progress = training.state()
            notes = {"run": self._checkpoint.stem, "progress": json.dumps(progress)}
            save_arrays(self._checkpoint, to_arrays(tensors), notes)
        self._next_checkpoint = time.monotonic() + self._seconds

    def _report_progress(self, training: Training, now: float) -> None:
        progress = training.progress
        if self._first is None:
            self._first = progress.samples, now
        samples, seconds = progress.samples - self._first[0], now - self._first[1]
        rate = round(samples / seconds) if seconds > 0 else None
        self._report(replace(training.report(), images_per_second=rate))


def load_checkpoint(sweep: SweepDir, key: str) -> Checkpoint | None:
    """Return the checkpoint of an earlier attempt at a run; None if there is none or it is damaged.

    A damaged checkpoint, or that of another run, is moved to quarantine. A checkpoint is advisory: without it the run
    starts over and has the same result.
    """
    path = sweep.checkpoint(key)
    if not path.exists():
        return None
    try:
        arrays = load_arrays(path, expect_metadata={"run": key})
        found = Checkpoint(to_tensors(arrays), json.loads(load_metadata(path)["progress"]))
        print(f"going on from step {found.progress['step']}", flush=True)
        return found
    except (CorruptRecordError, FileNotFoundError, KeyError, ValueError) as error:
        moved = set_aside(sweep, path)
        print(f"starting over, because the checkpoint is damaged: {error}; it is now {moved}", flush=True)
        return None
