"""Train the run of one task: read its inputs from the sweep directory, train, write weights, commit the record.

The experiment (`lthsweep.lottery`) returns values; this module does the input and output. A worker imports it, and
torch with it, after it has set its threads and cores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

import torch

from lthsweep.data.order import steps_per_epoch
from lthsweep.errors import BudgetError, CorruptRecordError
from lthsweep.launch.checkpoint import CheckpointHook, ReportProgress, load_checkpoint
from lthsweep.launch.events import Finished, TaskOutcome
from lthsweep.launch.inputs import Inputs, ancestors_of, context_of, prepared_of
from lthsweep.launch.outputs import finished_event, snapshot_metadata, store_result
from lthsweep.launch.profiling import profile
from lthsweep.launch.task import Operation, Task
from lthsweep.lottery.budget import train_budget
from lthsweep.lottery.context import TrainingContext
from lthsweep.lottery.dense import replay_snapshots, train_dense
from lthsweep.lottery.result import Result
from lthsweep.lottery.ticket import retrain_ticket
from lthsweep.pruning.counts import kept_by_rates
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.store.layout import SweepDir
from lthsweep.store.record import read_summary
from lthsweep.store.verify import set_aside
from lthsweep.store.weights import Arrays, load_arrays, save_arrays

__all__ = ["execute", "measure_epoch"]


def execute(
    task: Task, sweep: SweepDir, device: torch.device, *, stop: Callable[[], bool], report: ReportProgress
) -> Finished | None:
    """Train one run and commit its record; return None if it was stopped.

    Args:
        task: the run.
        sweep: directory of its inputs and its record.
        device: device to train on.
        stop: called before every step; if it returns True, the run writes a checkpoint and ends.
        report: receives progress about once a second.

    Raises:
        MissingDataError, MissingRecordError, CorruptRecordError: an input is missing or damaged.
        PruningError, TrainingError: the run is impossible as specified; another attempt would fail in the same way.
        StoreError: writing failed.
    """
    if task.operation is Operation.SLEEP:
        return _sleep(task, stop)
    started = time.time()
    context = context_of(task, device)
    inputs = Inputs(sweep)
    if sweep.has_record(task.key):
        return _complete_finished(task, sweep, context, stop, report)
    train = _train_dense if task.run.prune is None else _train_ticket
    hook = CheckpointHook(sweep.checkpoint(task.key), task.checkpoint_seconds, stop, report)
    result = train(task, sweep, context, inputs, hook)
    if result is None:
        return None
    store_result(sweep, task, context, result, started=started, weights_read=inputs.weights_read)
    return finished_event(task.key, result)


def measure_epoch(task: Task, device: torch.device) -> float:
    """Return the seconds of one epoch of a task's recipe; stores nothing."""
    return profile(context_of(task, device), task.run.seed)


def _train_dense(
    task: Task, sweep: SweepDir, context: TrainingContext, inputs: Inputs, hook: CheckpointHook
) -> Result | None:
    # A layer pattern that matches nothing is an error now, not in the first ticket, after hours of dense training.
    for rules in task.layer_rules:
        sizes = {
            name: weight.numel()
            for name, weight in prunable_weights(context.build(task.run.seed), rules.exclude).items()
        }
        kept_by_rates(sizes, sizes, 0.0, list(rules.rates))
    steps = _snapshot_steps(task, context)
    resume = load_checkpoint(sweep, task.key)
    reached = resume.progress["step"] if resume else 0
    assert isinstance(reached, int)
    if resume and any(step < reached for step in _missing(sweep, task.key, steps)):
        resume = None  # the checkpoint is past a snapshot that is missing: start over to write it
    return train_dense(
        context,
        task.run.seed,
        snapshot_steps=steps,
        save_snapshot=_snapshot_writer(sweep, task.key),
        resume=resume,
        between_steps=hook,
    )


def _train_ticket(
    task: Task, sweep: SweepDir, context: TrainingContext, inputs: Inputs, hook: CheckpointHook
) -> Result | None:
    if task.prune.budget is not None:
        return _train_within_budget(task, sweep, context, inputs, hook)
    return retrain_ticket(prepared_of(task, sweep, context, inputs), hook)


def _train_within_budget(
    task: Task, sweep: SweepDir, context: TrainingContext, inputs: Inputs, hook: CheckpointHook
) -> Result | None:
    trunk, _ = ancestors_of(task, context, inputs)
    checkpoint = sweep.checkpoint(task.key)
    try:
        return train_budget(
            context,
            task.run.seed,
            task.prune,
            snapshot=inputs.snapshot(trunk, task.prune.point),
            dense_val_accuracy=trunk.measured.val_accuracy,
            resume=load_checkpoint(sweep, task.key),
            between_steps=hook,
            save=hook.save,
        )
    except BudgetError:  # the next attempt, perhaps on a faster machine, starts with the whole budget
        checkpoint.unlink(missing_ok=True)
        raise


def _complete_finished(
    task: Task, sweep: SweepDir, context: TrainingContext, stop: Callable[[], bool], report: ReportProgress
) -> Finished | None:
    """Report a run that has a record; replay a dense run up to rewind points that joined the grid later."""
    if read_summary(sweep.record(task.key)).outcome == "diverged":
        return Finished(task.key, TaskOutcome.DIVERGED)
    is_dense = task.run.prune is None
    missing = _missing(sweep, task.key, _snapshot_steps(task, context)) if is_dense else []
    if not missing:
        return Finished(task.key, TaskOutcome.PRESENT)
    nearest = _nearest_snapshot(sweep, task.key, min(missing))
    reached = replay_snapshots(
        context,
        task.run.seed,
        snapshot_steps=missing,
        save_snapshot=_snapshot_writer(sweep, task.key),
        nearest=nearest,
        between_steps=CheckpointHook(None, 0.0, stop, report),
    )
    return Finished(task.key, TaskOutcome.REPLAYED) if reached else None


def _nearest_snapshot(sweep: SweepDir, key: str, last: int) -> tuple[int, Arrays] | None:
    """Return the latest undamaged snapshot up to a step; damaged ones are moved to quarantine."""
    recorded = read_summary(sweep.record(key)).weights
    for step in reversed(sweep.snapshot_steps(key)):
        if step > last:
            continue
        path = sweep.snapshot(key, step)
        try:
            metadata = snapshot_metadata(key, step)
            return step, load_arrays(path, recorded.get(path.name), expect_metadata=metadata)
        except CorruptRecordError as error:
            print(f"{error}; it is now {set_aside(sweep, path)}", flush=True)
    return None


def _snapshot_steps(task: Task, context: TrainingContext) -> list[int]:
    training, _ = context.split()
    length = steps_per_epoch(len(training), context.train.batch_size)
    return sorted({point.step(length) for point in task.rewind_points})


def _missing(sweep: SweepDir, key: str, steps: Collection[int]) -> list[int]:
    present = set(sweep.snapshot_steps(key))
    return [step for step in steps if step not in present]


def _snapshot_writer(sweep: SweepDir, key: str) -> Callable[[int, Arrays], None]:
    def save(step: int, arrays: Arrays) -> None:
        save_arrays(sweep.snapshot(key, step), arrays, snapshot_metadata(key, step))

    return save


def _sleep(task: Task, stop: Callable[[], bool]) -> Finished | None:
    """Take a known time. Claim, log, heartbeat and events are those of any other run."""
    end = time.monotonic() + task.sleep_seconds
    while (left := end - time.monotonic()) > 0:
        if stop():
            return None
        time.sleep(min(left, 0.1))
    return Finished(task.key, TaskOutcome.SLEPT)
