"""Train several tickets of one worker as one ensemble, each to its own record.

An ensemble can fail for reasons that are not those of a single run: its members differ after all, memory is too small,
or one member raises. Then its runs are requeued, and handed out again in smaller ensembles or alone, where an exception
is attributed to the one run that raised it.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from lthsweep.launch.checkpoint import CheckpointHook
from lthsweep.launch.fused.ensemble_reporter import EnsembleReporter
from lthsweep.launch.fused.groups import MAX_ENSEMBLE
from lthsweep.launch.inputs import Inputs, context_of, prepared_of
from lthsweep.launch.outputs import finished_event, store_result
from lthsweep.launch.process_env import redirect_output
from lthsweep.launch.reporter import RunReporter
from lthsweep.lottery.context import TrainingContext
from lthsweep.lottery.ticket import PreparedTicket, conclude_ticket, reason_not_fusible
from lthsweep.store.layout import SweepDir
from lthsweep.training.fused.ensemble import train_ensemble
from lthsweep.training.fused.width import measured_width
from lthsweep.training.loop import train
from lthsweep.training.state import Ending

__all__ = ["train_fused"]


@dataclass(frozen=True)
class _Member:
    """A run of the ensemble, ready to train."""

    reporter: RunReporter
    prepared: PreparedTicket
    inputs: Inputs
    hook: CheckpointHook

    @property
    def step(self) -> int:
        return self.prepared.training.progress.step


def train_fused(reporters: Sequence[RunReporter], sweep: SweepDir, device: torch.device) -> None:
    """Train runs as one model and commit a record for each.

    Args:
        reporters: of two or more tickets of one dense run and rewind point, with their claims taken.
        sweep: directory of their inputs and records.
        device: device to train on.
    """
    ensemble = EnsembleReporter(reporters)
    ensemble.begin()
    try:
        _train(ensemble, sweep, device)
    except Exception as error:
        left = ensemble.open
        if len(left) < 2 or isinstance(error, BrokenPipeError):
            raise
        traceback.print_exc()
        out_of_memory = isinstance(error, torch.OutOfMemoryError)
        cause = f"in an ensemble: {type(error).__name__}: {error}"
        for member in left:
            if out_of_memory:
                member.requeue(cause, fuse_width=len(left) // 2)
            else:
                member.requeue(cause, alone=True)


def _train(ensemble: EnsembleReporter, sweep: SweepDir, device: torch.device) -> None:
    started = time.time()
    context = context_of(ensemble.members[0].task, device)
    members, fuse_width = _prepared(ensemble, sweep, context)
    keys = [member.reporter.task.key for member in members]
    for member, ending in zip(members, _endings(members), strict=True):
        reporter, task = member.reporter, member.reporter.task
        # Measuring and storing many results takes time, in which the worker can be asked to leave.
        if ending is Ending.STOPPED or (ending is Ending.FINISHED and member.hook(member.prepared.training)):
            ensemble.stop(reporter)
            continue
        try:
            result = conclude_ticket(member.prepared, ending)
            store_result(
                sweep,
                task,
                context,
                result,
                started=started,
                weights_read=member.inputs.weights_read,
                fused_with=[key for key in keys if key != task.key],
            )
        except Exception as error:
            reporter.fail(error)
        else:
            event = finished_event(task.key, result)
            reporter.finish(replace(event, fused=len(keys), fuse_width=fuse_width))


def _prepared(
    ensemble: EnsembleReporter, sweep: SweepDir, context: TrainingContext
) -> tuple[list[_Member], int | None]:
    """Return the members to train, and how many pay if that was measured.

    A member that cannot be prepared fails. Members that are at another step than the first, or that are too many, are
    requeued.
    """
    data = context.training_data(ensemble.members[0].task.run.seed)
    cache: dict[Path, object] = {}
    members: list[_Member] = []
    fuse_width: int | None = None
    waiting = list(ensemble.members)
    while waiting:
        if members and ensemble.should_stop():
            for reporter in waiting:
                ensemble.stop(reporter)
            break
        reporter = waiting.pop(0)
        task = reporter.task
        inputs = Inputs(sweep, cache=cache)
        hook = CheckpointHook(
            sweep.checkpoint(task.key),
            task.checkpoint_seconds,
            ensemble.should_stop,
            ensemble.progress_of(reporter),
        )
        try:
            with redirect_output(sweep.log(task.key)):
                member = _Member(reporter, prepared_of(task, sweep, context, inputs, data), inputs, hook)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            reporter.fail(error)
            continue
        if members and member.step != members[0].step:
            reporter.requeue(f"it goes on from step {member.step}, others from {members[0].step}")
            continue
        members.append(member)
        if len(members) == 1 and waiting:
            fuse_width, reason = _fuse_width(member, ensemble.should_stop)
            if fuse_width:
                print(reason, flush=True)  # to the log of the first run
            for other in waiting[fuse_width - 1 :] if fuse_width else ():
                other.requeue(reason, fuse_width=fuse_width)
            waiting = waiting[: fuse_width - 1] if fuse_width else waiting
    return members, fuse_width


def _fuse_width(member: _Member, stop: Callable[[], bool]) -> tuple[int | None, str]:
    """Return how many runs like this one to train together, and the reason; None for no limit."""
    reason = reason_not_fusible(member.prepared)
    if reason is not None:
        return 1, f"cannot be trained in an ensemble: {reason}"
    if not member.reporter.task.measure_fuse_width:
        return None, ""
    width = measured_width(member.prepared.training, MAX_ENSEMBLE, stop)
    return width, f"measured: {width} such runs at a time are fastest"


def _endings(members: Sequence[_Member]) -> Sequence[Ending]:
    trainings = [member.prepared.training for member in members]
    hooks = [member.hook for member in members]
    if len(members) == 1:
        return [train(trainings[0], hooks[0])]
    return train_ensemble(trainings, hooks)
