"""Simulated machines: the real loop on real digits, with a clock that advances per step as a test defines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from lthsweep.data.batching import TrainBatches
from lthsweep.data.packed import Packed
from lthsweep.lottery.budget import train_budget
from lthsweep.lottery.context import TrainingContext
from lthsweep.lottery.result import Result
from lthsweep.plan.rounds import Budget
from lthsweep.training.state import TrainingData
from tests.lottery.cases import SEED, STEPS, context_of, dense_of, prune_step

EVALUATION = 0.5
"""Seconds for the 60 validation images, and for the 60 test images too."""
SAVING = 0.25


class Machine:
    """A clock, and how many seconds each optimizer step takes, by the number of steps before it."""

    def __init__(self, step_seconds: Callable[[int], float] = lambda step: 1.0) -> None:
        self.now = 1000.0
        self.steps = 0
        self.saved = 0
        self._step_seconds = step_seconds

    def clock(self) -> float:
        return self.now

    def step(self) -> None:
        self.now += self._step_seconds(self.steps)
        self.steps += 1

    def evaluate(self) -> None:
        self.now += EVALUATION

    def save(self, training: Any) -> None:
        training.state()
        self.now += SAVING
        self.saved += 1


@dataclass
class _Ticking:
    """Training batches; the clock moves when the step on a batch has been made."""

    inner: TrainBatches
    machine: Machine

    @property
    def steps(self) -> int:
        return self.inner.steps

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        for batch in self.inner.epoch(epoch, start):
            yield batch
            self.machine.step()


@dataclass(frozen=True)
class _Simulated(TrainingContext):
    machine: Machine | None = None

    def training_data(self, seed: int) -> TrainingData:
        data, machine = super().training_data(seed), self.machine
        assert machine is not None

        def validation() -> Iterator[Any]:
            yield from data.validation()
            machine.evaluate()

        return TrainingData(_Ticking(data.train, machine), validation)  # type: ignore[arg-type]

    def score_test(self, model: Any) -> Any:
        assert self.machine is not None
        self.machine.evaluate()
        return super().score_test(model)


EPOCH = STEPS + EVALUATION
"""Seconds of an epoch on the machine that takes one second for a step."""


def on(
    machine: Machine,
    packed: Packed,
    seconds: float,
    *,
    sparsity: float = 0.8,
    point: int | float | str = 0,
    epochs: int = 3,
    rewind: str = "weights",
    min_round_epochs: int = 1,
    max_rounds: int = 10,
    optimizer: str = "sgd",
    train: dict[str, Any] | None = None,
    **options: Any,
) -> Result | None:
    """A budget run of LeNet on this machine; rounds are three epochs at most by default."""
    dense = dense_of(packed, "lenet", optimizer)
    context = context_of(packed, "lenet", optimizer)
    simulated = _Simulated(
        context.model,
        context.data,
        replace(context.train, epochs=epochs, **(train or {})),
        packed,
        context.device,
        machine,
    )
    step = prune_step(sparsity, point, rewind=rewind)
    return train_budget(
        simulated,
        SEED,
        replace(step, budget=Budget(seconds, min_round_epochs, max_rounds)),
        snapshot=dense.snapshots[step.point.step(STEPS)],
        dense_val_accuracy=dense.result.metrics.val_accuracy,
        save=machine.save,
        clock=machine.clock,
        **options,
    )
