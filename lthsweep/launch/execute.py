"""Do one task: read what it needs from the sweep directory, train, write weights, commit the record.

This is the edge where the experiment, which returns values, meets the disk. The only module of this room that
imports torch; workers import it after they have set their threads and cores.
"""

from __future__ import annotations

import hashlib
import json
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lthsweep.data.pack import open_packed
from lthsweep.errors import MissingRecordError, PruningError, TrainingError
from lthsweep.launch.provenance import provenance
from lthsweep.launch.task import Task
from lthsweep.lottery.dense import replay_snapshots, train_dense
from lthsweep.lottery.material import Arrays, Material, to_arrays, to_tensors
from lthsweep.lottery.result import Checkpoint, Result
from lthsweep.lottery.ticket import Parent, train_ticket
from lthsweep.store.layout import SweepDir
from lthsweep.store.publish import commit_record
from lthsweep.store.record import Record, curve_table, decode, layer_table
from lthsweep.store.weights import load_arrays, load_metadata, pack_sparse, save_arrays, unpack_sparse
from lthsweep.training.loop import Training

__all__ = ["Outcome", "execute", "profile"]

Report = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Outcome:
    """How a task ended: "finished" or "diverged" with a record, "present" (it was there already), or "stopped"."""

    ending: str
    seconds_per_epoch: float | None = None
    test_accuracy: float | None = None


def execute(
    task: Task, sweep: SweepDir, device: torch.device, *, stop: Callable[[], bool], report: Report
) -> Outcome:
    """Train one run and commit its record.

    Args:
        task: what to train.
        sweep: where its inputs and its record live.
        device: where it trains.
        stop: asked before every step; true makes the run write a checkpoint and end.
        report: hears progress (epoch, epochs, images_per_second, val_accuracy), at most about once a second.

    Raises:
        MissingDataError, MissingRecordError, CorruptRecordError: an input is not there or damaged.
        PruningError, TrainingError: the run cannot be made as asked; another attempt would fail the same way.
        StoreError: the disk refused.
    """
    return _Execution(task, sweep, device, stop, report).run()


class _Execution:
    def __init__(
        self, task: Task, sweep: SweepDir, device: torch.device, stop: Callable[[], bool], report: Report
    ) -> None:
        self._task = task
        self._sweep = sweep
        self._stop = stop
        self._report = report
        self._started = time.time()
        self._clock = time.monotonic()
        self._next_checkpoint = self._clock + task.checkpoint_seconds
        self._next_report = self._clock
        self._images_at_start: int | None = None
        self._weights_read: dict[str, str] = {}
        self._material = Material(
            **task.recipe, packed=open_packed(task.recipe["data"], cache=_folder(task.cache)), device=device
        )

    def run(self) -> Outcome:
        present = self._sweep.record(self._task.key).exists()
        if self._task.kind == "dense":
            if present:
                return self._replay()
            result = self._dense()
        else:
            if present:
                return Outcome("present")
            result = self._ticket()
        if result is None:
            return Outcome("stopped")
        self._store(result)
        seconds = [row.seconds for row in result.curves]
        return Outcome(result.ending, float(np.median(seconds)), float(result.metrics["test_accuracy"]))

    # --- the two kinds of run ---

    def _dense(self) -> Result | None:
        steps = self._snapshot_steps()
        resume = self._checkpoint()
        if resume and any(
            step < resume.progress["step"] and not self._sweep.snapshot(self._task.key, step).exists()
            for step in steps
        ):
            resume = (
                None  # the checkpoint is past a snapshot that is gone; only the beginning leads there again
            )
        return train_dense(
            self._material,
            self._task.seed,
            snapshot_steps=steps,
            save_snapshot=self._save_snapshot,
            resume=resume,
            between_steps=self._between_steps,
        )

    def _replay(self) -> Outcome:
        """The trunk is finished; make the snapshots that a grown grid asks for besides."""
        steps = self._snapshot_steps()
        missing = [step for step in steps if not self._sweep.snapshot(self._task.key, step).exists()]
        if not missing:
            return Outcome("present")
        before = [step for step in self._sweep.snapshot_steps(self._task.key) if step <= min(missing)]
        nearest = None
        if before:
            nearest = (max(before), load_arrays(self._sweep.snapshot(self._task.key, max(before))))
        reached = replay_snapshots(
            self._material,
            self._task.seed,
            snapshot_steps=missing,
            save_snapshot=self._save_snapshot,
            nearest=nearest,
            between_steps=self._between_steps_without_checkpoint,
        )
        return Outcome("present" if reached else "stopped")

    def _ticket(self) -> Result | None:
        step = self._task.prune_step
        trunk = self._record(self._task.trunk)
        parent = trunk if self._task.parent == self._task.trunk else self._record(str(self._task.parent))
        self._check_same_data(trunk)
        snapshot = None
        if step.returns_weights:
            path = self._sweep.snapshot(trunk.key, step.point.step(int(trunk.metrics["steps_per_epoch"])))
            snapshot = self._load(path, trunk.weights.get(path.name))
        return train_ticket(
            self._material,
            self._task.seed,
            step,
            level=self._task.level,
            parent=Parent(
                weights=self._final_weights(parent),
                masks=dict(parent.masks),
                val_accuracy=float(parent.metrics["val_accuracy"]),
                test_accuracy=float(parent.metrics["test_accuracy"]),
            ),
            snapshot=snapshot,
            dense_val_accuracy=float(trunk.metrics["val_accuracy"]),
            resume=self._checkpoint(),
            between_steps=self._between_steps,
        )

    # --- inputs ---

    def _record(self, key: str) -> Record:
        path = self._sweep.record(key)
        if not path.exists():
            raise MissingRecordError(
                f"run {self._task.key} needs the record of its parent {key}, and {path} is not there; "
                f"`lthsweep run SWEEP` trains parents first"
            )
        record = decode(path)
        if record.outcome == "diverged":
            raise PruningError(
                f"its parent {key} diverged (loss not finite), so there are no weights to rank; "
                f"lower train.optimizer.lr or lengthen train.schedule.warmup"
            )
        return record

    def _check_same_data(self, trunk: Record) -> None:
        theirs = trunk.provenance.get("data_fingerprint")
        ours = self._material.packed.fingerprint
        if theirs != ours:
            raise TrainingError(
                f"the trunk {trunk.key} was trained on other data (fingerprint {str(theirs)[:12]}) than is packed "
                f"here ({ours[:12]}); give the changed data another data.label, or restore the old data"
            )

    def _final_weights(self, record: Record) -> Arrays:
        path = self._sweep.final(record.key)
        return unpack_sparse(self._load(path, record.weights.get(path.name)), record.masks)

    def _load(self, path: Path, sha256: str | None) -> Arrays:
        if not path.exists():
            raise MissingRecordError(
                f"{path} is missing though its record is there; move the record of run {path.parent.name} away "
                f"and run `lthsweep run SWEEP` to train it again"
            )
        arrays = load_arrays(path, expect_sha256=sha256)
        if sha256:
            self._weights_read[f"{path.parent.name}/{path.name}"] = sha256
        return arrays

    def _snapshot_steps(self) -> list[int]:
        steps_per_epoch = self._material.training_data(self._task.seed).train.steps
        return sorted({point.step(steps_per_epoch) for point in self._task.snapshot_points})

    # --- between steps ---

    def _between_steps(self, training: Training) -> bool:
        now = time.monotonic()
        stopping = self._stop()
        if stopping or now >= self._next_checkpoint:
            self._save_checkpoint(training)
            self._next_checkpoint = time.monotonic() + self._task.checkpoint_seconds
        self._tell(training, now)
        return stopping

    def _between_steps_without_checkpoint(self, training: Training) -> bool:
        self._tell(training, time.monotonic())
        return self._stop()

    def _tell(self, training: Training, now: float) -> None:
        progress = training.progress
        if self._images_at_start is None:
            self._images_at_start, self._clock = progress.images, now
        if now < self._next_report:
            return
        self._next_report = now + 1.0
        elapsed = now - self._clock
        self._report(
            {
                "epoch": round(progress.step / training.steps_per_epoch, 2),
                "epochs": training.epochs,
                "step": progress.step,
                "images_per_second": round((progress.images - self._images_at_start) / elapsed)
                if elapsed > 0
                else None,
                "val_accuracy": progress.curves[-1].val_accuracy if progress.curves else None,
            }
        )

    def _save_checkpoint(self, training: Training) -> None:
        tensors, progress = training.state()
        save_arrays(
            self._sweep.checkpoint(self._task.key),
            to_arrays(tensors),
            {"progress": json.dumps(progress)},
        )

    def _checkpoint(self) -> Checkpoint | None:
        path = self._sweep.checkpoint(self._task.key)
        if not path.exists():
            return None
        return Checkpoint(to_tensors(load_arrays(path)), json.loads(load_metadata(path)["progress"]))

    # --- outputs ---

    def _save_snapshot(self, step: int, arrays: Arrays) -> None:
        save_arrays(self._sweep.snapshot(self._task.key, step), arrays, {"step": str(step)})

    def _store(self, result: Result) -> None:
        """Weights first, then the record: where there is a record, everything it names is there."""
        path = self._sweep.final(self._task.key)
        weights = {
            path.name: save_arrays(path, pack_sparse(result.weights, result.masks), {"run": self._task.key})
        }
        weights |= self._snapshot_hashes()
        dense_bytes = sum(array.nbytes for array in result.weights.values())
        mask_bytes = sum(len(zlib.compress(np.packbits(mask).tobytes())) for mask in result.masks.values())
        metrics = dict(result.metrics)
        metrics["bytes_dense"] = dense_bytes
        metrics["bytes_sparse"] = path.stat().st_size + mask_bytes if result.masks else dense_bytes
        metrics["seconds_wall"] = time.time() - self._started
        record = Record(
            key=self._task.key,
            kind=self._task.kind,  # type: ignore[arg-type]
            manifest=self._task.manifest,
            resolved={
                **self._task.recipe,
                "seed": self._task.seed,
                "prune": self._task.prune,
                "level": self._task.level,
                "trunk": self._task.trunk,
                "parent": self._task.parent,
            },
            outcome="finished" if result.ending == "finished" else "diverged",
            metrics=metrics,
            curves=curve_table(asdict(row) for row in result.curves),
            layers=layer_table(
                [row.name for row in result.layers],
                [row.size for row in result.layers],
                [row.remaining for row in result.layers],
            ),
            masks=result.masks,
            provenance=provenance(
                self._material.device,
                attempt=self._task.attempt,
                precision=str(self._material.train["precision"]),
                started=self._started,
                data_fingerprint=self._material.packed.fingerprint,
                weights_read=self._weights_read,
            ),
            audit=result.audit,
            weights=weights,
        )
        commit_record(self._sweep, record)
        self._sweep.checkpoint(self._task.key).unlink(missing_ok=True)

    def _snapshot_hashes(self) -> dict[str, str]:
        if self._task.kind != "dense":
            return {}
        paths = [self._sweep.snapshot(self._task.key, step) for step in self._snapshot_steps()]
        # A run that diverged early never reached its later rewind points.
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.exists()}


def profile(task: Task, device: torch.device, seconds: float = 5.0) -> float:
    """Seconds of one epoch of a run's recipe, validation included, measured on its first steps.

    Args:
        task: a dense run.
        device: where to measure.
        seconds: how long to train at most; a shorter epoch is measured whole.
    """
    material = Material(
        **task.recipe, packed=open_packed(task.recipe["data"], cache=_folder(task.cache)), device=device
    )
    training = Training(
        material.build(task.seed), material.training_data(task.seed), material.train, seed=task.seed
    )
    warm_up = min(3, training.steps_per_epoch // 4)
    times: list[float] = []

    def watch(current: Training) -> bool:
        times.append(time.perf_counter())
        return len(times) > warm_up + 1 and (
            times[-1] - times[0] > seconds or len(times) > training.steps_per_epoch
        )

    training.run(watch)
    per_step = (times[-1] - times[warm_up]) / max(1, len(times) - 1 - warm_up)
    started = time.perf_counter()
    training.validate()
    return per_step * training.steps_per_epoch + time.perf_counter() - started


def _folder(path: str | None) -> Path | None:
    return None if path is None else Path(path)
