"""What happens between the steps of a run: checkpoints by the clock, progress reports, the wish to stop."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lthsweep.errors import CorruptRecordError
from lthsweep.lottery.context import to_arrays, to_tensors
from lthsweep.lottery.result import Checkpoint
from lthsweep.store.weights import load_arrays, load_metadata, save_arrays
from lthsweep.training.training import Training

__all__ = ["Report", "Watch", "load_checkpoint"]

Report = Callable[[Mapping[str, Any]], None]

_REPORT_SECONDS = 1.0


class Watch:
    """Called before every step of a training (a `BetweenSteps`).

    Args:
        checkpoint: where checkpoints go; None for a walk that is not worth one.
        seconds: between two periodic checkpoints. One is also written when the run is asked to stop.
        stop: true makes the training end here.
        report: hears epoch, epochs, step, images_per_second and val_accuracy about once a second.
    """

    def __init__(
        self, checkpoint: Path | None, seconds: float, stop: Callable[[], bool], report: Report
    ) -> None:
        self._checkpoint = checkpoint
        self._seconds = seconds
        self._stop = stop
        self._report = report
        self._next_checkpoint = time.monotonic() + seconds
        self._next_report = 0.0
        self._first: tuple[int, float] | None = None

    def __call__(self, training: Training) -> bool:
        """Do what is due; returns whether the training is to stop."""
        now = time.monotonic()
        stopping = self._stop()
        if stopping or now >= self._next_checkpoint:
            self.save(training)
        if now >= self._next_report:
            self._next_report = now + _REPORT_SECONDS
            self._tell(training, now)
        return stopping

    def save(self, training: Training) -> None:
        """Write a checkpoint now; between two steps only."""
        if self._checkpoint is not None:
            tensors, progress = training.state()
            save_arrays(self._checkpoint, to_arrays(tensors), {"progress": json.dumps(progress)})
        self._next_checkpoint = time.monotonic() + self._seconds

    def _tell(self, training: Training, now: float) -> None:
        progress = training.progress
        if self._first is None:
            self._first = progress.images, now
        images, seconds = progress.images - self._first[0], now - self._first[1]
        rate = round(images / seconds) if seconds > 0 else None
        self._report({**training.progress_values(), "images_per_second": rate})


def load_checkpoint(path: Path) -> Checkpoint | None:
    """Where an earlier attempt stopped; None if there is nothing, or nothing that can be read.

    A checkpoint is advice: without it the run starts over and comes to the same result.
    """
    if not path.exists():
        return None
    try:
        found = Checkpoint(to_tensors(load_arrays(path)), json.loads(load_metadata(path)["progress"]))
        print(f"going on from step {found.progress['step']}", flush=True)
        return found
    except (CorruptRecordError, FileNotFoundError, KeyError, ValueError) as error:
        print(f"the checkpoint cannot be used, starting over: {error}", flush=True)
        return None
