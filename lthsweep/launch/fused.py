"""Train the runs that a worker was given: one by itself, several as one model, each to a record of its own.

Whatever stands in the way of training several as one (they are not alike after all, memory does not suffice, one of
them raises) is nobody's end: they are returned, and handed out again in smaller company or alone, where an error is
told as that of one run.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch

from lthsweep.launch.bundles import MOST_AT_ONCE
from lthsweep.launch.execute import execute
from lthsweep.launch.inputs import Inputs
from lthsweep.launch.outcome import Outcome
from lthsweep.launch.outputs import store_result
from lthsweep.launch.prepare import material_of, prepared_of
from lthsweep.launch.settle import log_to
from lthsweep.launch.task import Task
from lthsweep.launch.watch import Watch
from lthsweep.lottery.context import TrainingContext
from lthsweep.lottery.ticket import PreparedTicket, conclude_ticket, reason_not_fusible
from lthsweep.store.layout import SweepDir
from lthsweep.training.loop import train as train_steps
from lthsweep.training.training import Ending

__all__ = ["Told", "train"]


class Told(Protocol):
    """Who is told how training goes, see `lthsweep.launch.attempt.Attempt`."""

    @property
    def untold(self) -> list[Task]:
        """Runs of which was not said how they ended."""

    def stop(self) -> bool:
        """Asked before every step."""

    def report(self, key: str, values: Mapping[str, Any]) -> None:
        """How far a run has come."""

    def end(self, key: str, outcome: Outcome) -> None:
        """A run has ended."""

    def fail(self, key: str, error: Exception) -> None:
        """A run has failed."""

    def give_back(self, key: str, cause: str, **values: Any) -> None:
        """A run is to be handed out again."""


def train(tasks: Sequence[Task], sweep: SweepDir, device: torch.device, told: Told) -> None:
    """Train runs and commit their records. Raises what ends a run that is trained by itself.

    Args:
        tasks: what to train; several are tickets of one trunk and rewind point.
        sweep: where their inputs and records live.
        device: where they are trained.
        told: hears once of every run how it ended.
    """
    if len(tasks) == 1:
        (task,) = tasks
        told.end(
            task.key, execute(task, sweep, device, stop=told.stop, report=partial(told.report, task.key))
        )
        return
    try:
        _train_several(tasks, sweep, device, told)
    except Exception as error:
        left = told.untold
        if len(left) < 2 or isinstance(error, BrokenPipeError):
            raise
        traceback.print_exc()
        memory = isinstance(error, torch.OutOfMemoryError)
        values = {"width": len(left) // 2} if memory else {"alone": True}
        for task in left:
            told.give_back(task.key, f"as one with others: {type(error).__name__}: {error}", **values)


@dataclass(frozen=True)
class _Member:
    """One of several runs, ready to be trained."""

    task: Task
    prepared: PreparedTicket
    inputs: Inputs
    watch: Watch

    @property
    def step(self) -> int:
        return self.prepared.training.progress.step


def _train_several(tasks: Sequence[Task], sweep: SweepDir, device: torch.device, told: Told) -> None:
    started = time.time()
    material = material_of(tasks[0], device)
    members, width = _gathered(tasks, sweep, material, told)
    keys = [member.task.key for member in members]
    for member, ending in zip(members, _endings(members), strict=True):
        task, training = member.task, member.prepared.training
        # To measure and store many takes a while, in which somebody may ask to stop.
        if ending is Ending.STOPPED or (ending is Ending.FINISHED and member.watch(training)):
            told.end(task.key, Outcome("stopped"))
            continue
        try:
            result = conclude_ticket(member.prepared, ending)
            store_result(
                sweep,
                task,
                material,
                result,
                started=started,
                weights_read=member.inputs.weights_read,
                fused_with=[key for key in keys if key != task.key],
            )
        except Exception as error:
            told.fail(task.key, error)
        else:
            told.end(task.key, replace(Outcome.of(result), fused=len(keys), width=width))


def _gathered(
    tasks: Sequence[Task], sweep: SweepDir, material: TrainingContext, told: Told
) -> tuple[list[_Member], int | None]:
    """Those that are trained as one with the first that can be made, and how many pay if that was measured.

    Of those that cannot be made is told why not; the others are returned.
    """
    data = material.training_data(tasks[0].seed)
    shelf: dict[Path, Any] = {}
    members: list[_Member] = []
    width: int | None = None
    waiting = list(tasks)
    while waiting:
        if members and told.stop():
            for task in waiting:
                told.end(task.key, Outcome("stopped"))
            break
        task = waiting.pop(0)
        inputs = Inputs(sweep, shelf=shelf)
        watch = Watch(
            sweep.checkpoint(task.key), task.checkpoint_seconds, told.stop, partial(told.report, task.key)
        )
        try:
            with log_to(sweep.log(task.key)):
                member = _Member(task, prepared_of(task, sweep, material, inputs, data), inputs, watch)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            told.fail(task.key, error)
            continue
        if members and member.step != members[0].step:
            told.give_back(task.key, f"it goes on from step {member.step}, others from {members[0].step}")
            continue
        members.append(member)
        if len(members) == 1 and waiting:
            width, why = _width(member, told.stop)
            if width:
                print(why, flush=True)  # to the log of the first that was given
            for other in waiting[width - 1 :] if width else ():
                told.give_back(other.key, why, width=width)
            waiting = waiting[: width - 1] if width else waiting
    return members, width


def _width(member: _Member, stop: Callable[[], bool]) -> tuple[int | None, str]:
    """How many runs like this one to train as one, and why no more; None for as many as there are."""
    why = reason_not_fusible(member.prepared)
    if why is not None:
        return 1, f"cannot be trained as one with others: {why}"
    if not member.task.measure_width:
        return None, ""
    from lthsweep.training.fused.width import measured_width

    width = measured_width(member.prepared.training, MOST_AT_ONCE, stop)
    return width, f"{width} such runs at a time were found to pay"


def _endings(members: Sequence[_Member]) -> Sequence[Ending]:
    trainings = [member.prepared.training for member in members]
    watches = [member.watch for member in members]
    if len(members) == 1:
        return [train_steps(trainings[0], watches[0])]
    from lthsweep.training.fused.ensemble import train_ensemble

    return train_ensemble(trainings, watches)
