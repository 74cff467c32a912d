"""Do one task: read what it needs from the sweep directory, train, write weights, commit the record.

This is the edge where the experiment, which returns values, meets the disk. Workers import it, and with it torch,
after they have set their threads and cores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

import torch

from lthsweep.data.order import steps_per_epoch
from lthsweep.errors import BudgetError
from lthsweep.launch.inputs import Inputs
from lthsweep.launch.outcome import Outcome
from lthsweep.launch.outputs import store_result
from lthsweep.launch.prepare import ancestors_of, material_of, prepared_of
from lthsweep.launch.profiling import profile
from lthsweep.launch.task import Task
from lthsweep.launch.watch import Report, Watch, load_checkpoint
from lthsweep.lottery.budget import train_budget
from lthsweep.lottery.context import Arrays, TrainingContext
from lthsweep.lottery.dense import replay_snapshots, train_dense
from lthsweep.lottery.result import Result
from lthsweep.lottery.ticket import retrain_ticket
from lthsweep.pruning.counts import kept_by_rates
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.store.layout import SweepDir
from lthsweep.store.record import read_summary
from lthsweep.store.weights import load_arrays, save_arrays

__all__ = ["execute", "measure_epoch"]


def execute(
    task: Task, sweep: SweepDir, device: torch.device, *, stop: Callable[[], bool], report: Report
) -> Outcome:
    """Train one run and commit its record.

    Args:
        task: what to train.
        sweep: where its inputs and its record live.
        device: where it trains.
        stop: asked before every step; true makes the run write a checkpoint and end.
        report: hears progress, see `lthsweep.launch.watch.Watch`.

    Raises:
        MissingDataError, MissingRecordError, CorruptRecordError: an input is not there or damaged.
        PruningError, TrainingError: the run cannot be made as asked; another attempt would fail the same way.
        StoreError: the disk refused.
    """
    if task.operation == "sleep":
        return _sleep(float(task.recipe["seconds"]), stop)
    started = time.time()
    material = material_of(task, device)
    inputs = Inputs(sweep)
    if sweep.has_record(task.key):
        return _walk_again(task, sweep, material, stop, report)
    train = _train_trunk if task.kind == "dense" else _train_descendant
    watch = Watch(sweep.checkpoint(task.key), task.checkpoint_seconds, stop, report)
    result = train(task, sweep, material, inputs, watch)
    if result is None:
        return Outcome("stopped")
    store_result(sweep, task, material, result, started=started, weights_read=inputs.weights_read)
    return Outcome.of(result)


def _sleep(seconds: float, stop: Callable[[], bool]) -> Outcome:
    """A training of known length. What surrounds it (claim, log, heartbeat, messages) is that of any other."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if stop():
            return Outcome("stopped")
        time.sleep(min(left, 0.1))
    return Outcome("slept")


def measure_epoch(task: Task, device: torch.device) -> float:
    """Seconds of one epoch of a task's recipe; stores nothing."""
    return profile(material_of(task, device), task.seed)


def _train_trunk(
    task: Task, sweep: SweepDir, material: TrainingContext, inputs: Inputs, watch: Watch
) -> Result | None:
    # A typo is to be found now, not by the first ticket, when the trunk is trained.
    for exclude, rates in task.layer_rules:
        sizes = {
            name: weight.numel()
            for name, weight in prunable_weights(material.build(task.seed), exclude).items()
        }
        kept_by_rates(sizes, sizes, 0.0, [(pattern, rate) for pattern, rate in rates])
    steps = _snapshot_steps(task, material)
    resume = load_checkpoint(sweep.checkpoint(task.key))
    if resume and any(step < resume.progress["step"] for step in _absent(sweep, task.key, steps)):
        resume = None  # it is past a snapshot that is gone, and only the beginning leads there again
    return train_dense(
        material,
        task.seed,
        snapshot_steps=steps,
        save_snapshot=_snapshot_saver(sweep, task.key),
        resume=resume,
        between_steps=watch,
    )


def _train_descendant(
    task: Task, sweep: SweepDir, material: TrainingContext, inputs: Inputs, watch: Watch
) -> Result | None:
    if task.prune_step.budget is not None:
        return _train_in_time(task, sweep, material, inputs, watch)
    return retrain_ticket(prepared_of(task, sweep, material, inputs), watch)


def _train_in_time(
    task: Task, sweep: SweepDir, material: TrainingContext, inputs: Inputs, watch: Watch
) -> Result | None:
    step = task.prune_step
    trunk, _ = ancestors_of(task, material, inputs)
    checkpoint = sweep.checkpoint(task.key)
    try:
        return train_budget(
            material,
            task.seed,
            step,
            snapshot=inputs.snapshot(trunk, step.point),
            dense_val_accuracy=trunk.measured.val_accuracy,
            resume=load_checkpoint(checkpoint),
            between_steps=watch,
            save=watch.save,
        )
    except BudgetError:  # the next attempt, perhaps on a faster machine, begins with all of its time
        checkpoint.unlink(missing_ok=True)
        raise


def _walk_again(
    task: Task, sweep: SweepDir, material: TrainingContext, stop: Callable[[], bool], report: Report
) -> Outcome:
    """The run is finished. A trunk may lack snapshots that a grown grid asks for: walk its trajectory again."""
    if read_summary(sweep.record(task.key)).outcome == "diverged":
        return Outcome("diverged")
    missing = _absent(sweep, task.key, _snapshot_steps(task, material)) if task.kind == "dense" else []
    if not missing:
        return Outcome("present")
    before = [step for step in sweep.snapshot_steps(task.key) if step <= min(missing)]
    reached = replay_snapshots(
        material,
        task.seed,
        snapshot_steps=missing,
        save_snapshot=_snapshot_saver(sweep, task.key),
        nearest=(max(before), load_arrays(sweep.snapshot(task.key, max(before)))) if before else None,
        between_steps=Watch(None, 0.0, stop, report),
    )
    return Outcome("walked" if reached else "stopped")


def _snapshot_steps(task: Task, material: TrainingContext) -> list[int]:
    training, _ = material.split()
    length = steps_per_epoch(len(training), material.train.batch_size)
    return sorted({point.step(length) for point in task.snapshot_points})


def _absent(sweep: SweepDir, key: str, steps: Collection[int]) -> list[int]:
    there = set(sweep.snapshot_steps(key))
    return [step for step in steps if step not in there]


def _snapshot_saver(sweep: SweepDir, key: str) -> Callable[[int, Arrays], None]:
    def save(step: int, arrays: Arrays) -> None:
        save_arrays(sweep.snapshot(key, step), arrays, {"step": str(step)})

    return save
