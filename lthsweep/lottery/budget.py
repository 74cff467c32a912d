"""A ticket within a given time: one epoch is profiled, the rounds are planned, and the plan follows reality.

1. Initialize, train one epoch and measure it, with its evaluation, a pruning and a checkpoint. It counts as training.
2. Plan: how many rounds fit, and the rate p = 1 − (1 − S)^(1/n) at which each prunes (`lthsweep.plan.rounds`).
3. In each round train, prune p of what is left, reset the survivors to where the trunk was at the rewind point.
4. Train the ticket.

After every epoch the plan is made anew from the time that is left (`lthsweep.lottery.timekeeper`). A round that turns
out too slow is stopped early; the time is overrun by one epoch at most. The clock is an argument: with a simulated one,
tests have any machine they like.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from torch import nn

from lthsweep.errors import TrainingError
from lthsweep.lottery.frame import Masked
from lthsweep.lottery.ledger import Ledger
from lthsweep.lottery.mask import mask_of
from lthsweep.lottery.material import Arrays, Material, to_arrays, to_tensors
from lthsweep.lottery.origin import Origin, origin_of
from lthsweep.lottery.result import (
    Checkpoint,
    Result,
    conclude,
    measure,
    score_without_retraining,
)
from lthsweep.lottery.round import Round
from lthsweep.lottery.ticket import clear_pruned, prunable_of
from lthsweep.lottery.timekeeper import Timekeeper
from lthsweep.plan.prune_step import PruneStep
from lthsweep.plan.rounds import BudgetCosts, next_sparsity
from lthsweep.pruning.audit import audit, optimizer_momenta
from lthsweep.pruning.masks import Masks
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.training.devices import synchronize
from lthsweep.training.loop import BetweenSteps, Ending, Training, TrainingData
from lthsweep.training.optimizers import restore_optimizer

__all__ = ["train_budget"]


def train_budget(
    material: Material,
    seed: int,
    step: PruneStep,
    *,
    snapshot: Arrays,
    dense_val_accuracy: float,
    resume: Checkpoint | None = None,
    between_steps: BetweenSteps = lambda training: False,
    save: Callable[[Training], None] = lambda training: None,
    clock: Callable[[], float] = time.monotonic,
) -> Result | None:
    """Make a ticket of the sparsity of `step` in the time of its budget.

    Args:
        material: data and model of the run.
        seed: the replicate's seed; initialization, order and augmentation are the trunk's.
        step: how much is pruned and in what time, and to where survivors return.
        snapshot: the trunk's at the rewind point.
        dense_val_accuracy: the trunk's last validation accuracy, for `steps_to_dense`.
        resume: where an earlier attempt stopped, with the time that it had spent.
        between_steps: as for `Training.run`.
        save: writes a checkpoint; called once, to learn how long that takes.
        clock: seconds, never going back.

    Returns:
        The result, or None if `between_steps` stopped it.

    Raises:
        BudgetError: if the time is too short for the shortest rounds that are allowed.
        PruningError: if a mask cannot be made.
        TrainingError: if training diverges before the last pruning.
    """
    run = _BudgetRun(material, seed, step, snapshot, resume, save, clock)
    while True:
        ending = run.train(between_steps)
        if ending == "stopped":
            return None
        if run.is_last:
            return run.conclude(ending, dense_val_accuracy)
        if ending == "diverged":
            raise TrainingError(
                f"round {run.ledger.made + 1} diverged (loss not finite), so there are no weights to rank; "
                f"lower train.optimizer.lr or lengthen train.schedule.warmup"
            )
        run.prune()


class _BudgetRun:
    """The network of a budget run: the round under way, and what leads from one to the next."""

    def __init__(
        self,
        material: Material,
        seed: int,
        step: PruneStep,
        snapshot: Arrays,
        resume: Checkpoint | None,
        save: Callable[[Training], None],
        clock: Callable[[], float],
    ) -> None:
        assert step.budget is not None and step.sparsity is not None
        self.ledger = Ledger() if resume is None else Ledger.from_dict(resume.progress["budget"])
        self._clock, self._started = clock, clock() - self.ledger.spent
        self._material, self._seed, self._step = material, seed, step
        self._budget, self._target = step.budget, step.sparsity
        self._snapshot, self._save = snapshot, save
        data = material.training_data(seed)
        self._data = TrainingData(data.train, lambda: self._timed(data.validation()))
        self._evaluation = 0.0
        self._rewind_step = step.point.step(data.train.steps)
        full = material.epochs - self._rewind_step // data.train.steps
        self._time = Timekeeper(
            self._budget, self._target, full, ledger=self.ledger, now=self._now, measure=self._measure
        )
        self._origin: Origin | None = None
        model = material.build(seed)
        if resume is None:
            self._round = self._open(model, {})
            self._time.begin(self._round)
            return
        masks = {
            name.removeprefix("mask/"): mask.to(material.device)
            for name, mask in resume.tensors.items()
            if name.startswith("mask/")
        }
        self._round = self._open(model, masks)
        self._round.restore(resume.tensors, resume.progress)

    @property
    def is_last(self) -> bool:
        """Whether the round under way trains the ticket."""
        return self.ledger.sparsity >= self._target

    def train(self, between_steps: BetweenSteps) -> Ending:
        """Train to the end of the round, or to where it has to end."""
        interrupted = False

        def look(training: Training) -> bool:
            nonlocal interrupted
            if self._time.ends(self._round):
                return True
            interrupted = between_steps(training)
            return interrupted

        ending = self._round.run(look)
        if interrupted:
            return "stopped"
        self._time.close(self._round)
        return "diverged" if ending == "diverged" else "finished"

    def prune(self) -> None:
        """Prune the network as it was trained, reset the survivors, and begin the next round."""
        ledger, before = self.ledger, self._round
        begun = self._now()
        plan = self._time.before_pruning()
        sparsity = next_sparsity(ledger.sparsity, self._target, plan.prunings)
        ledger.left = {name: int(mask.sum()) for name, mask in before.masks.items()}
        masks = self._mask(sparsity)
        if plan.prunings == 1:
            begun += self._score_pruned(before.model, masks)
        self._time.pruned(plan, sparsity)
        self._round = self._open(before.model, masks)
        self._round.go_on_counting(before)
        self._time.begin(self._round)
        ledger.prune = self._now() - begun
        if plan.epochs < self._round.length:
            self._round.end_after(plan.epochs)

    def conclude(self, ending: Ending, dense_val_accuracy: float) -> Result:
        """Score and audit the ticket."""
        ledger, training, masks = self.ledger, self._round, self._round.masks
        prunable = prunable_weights(training.model, self._step.exclude)
        if ending == "diverged":
            clear_pruned(training, masks)
        assert self._origin is not None and ledger.predicted is not None
        metrics = measure(
            self._material,
            training,
            ending,
            masks=masks,
            prunable=prunable,
            start_step=training.start_step,
            dense_val_accuracy=dense_val_accuracy,
        )
        found = audit(
            masks,
            snapshot=prunable_of(self._origin.weights, masks),
            start=self._started_from,
            final={name: weight.detach() for name, weight in prunable.items()},
            momenta=optimizer_momenta(training.optimizer, prunable),
            sparsity=self._target,
            scope=self._step.scope,
            rates=self._step.rates,
            left=ledger.left or None,
        )
        before = ledger.rounds[-2]["val_accuracy"]
        spent = self._now()
        metrics = replace(
            metrics,
            **ledger.pruned,
            before_val_accuracy=math.nan if before is None else before,
            epochs_trained=ledger.epochs_before,
            rounds=ledger.made,
            seconds_budget=self._budget.seconds,
            seconds_predicted=ledger.predicted,
            seconds_spent=spent,
        )
        result = conclude(training, ending, metrics, masks, prunable, found.to_dict())
        return replace(result, notes={"budget": ledger.account(self._budget.seconds, spent)})

    def _now(self) -> float:
        """Seconds that the run has spent."""
        return self._clock() - self._started

    def _open(self, model: nn.Module, masks: Masks) -> Round:
        """A round at its start: survivors where the trunk was at the rewind point; the dense one at initialization."""
        if masks:
            self._origin = origin_of(
                self._step,
                material=self._material,
                seed=self._seed,
                final={},
                snapshot=self._snapshot,
                masks=masks,
            )
            model.load_state_dict(to_tensors(self._origin.weights))
        opened = Round(
            model,
            self._data,
            self._material.train,
            seed=self._seed,
            start_step=self._rewind_step if masks else 0,
            masks=masks,
            lasso=Masked(model, masks, self._material).lasso(),
            ledger=self.ledger,
            now=self._now,
        )
        if masks and self._origin and self._origin.optimizer:
            restore_optimizer(opened.optimizer, model, to_tensors(self._origin.optimizer))
            clear_pruned(opened, masks)
        prunable = prunable_weights(model, self._step.exclude)
        self._started_from = {name: weight.detach().clone() for name, weight in prunable.items()}
        return opened

    def _mask(self, sparsity: float) -> Masks:
        """The masks of a sparsity, by the weights as they are now, inside of the present ones."""
        return mask_of(
            replace(self._step, sparsity=sparsity),
            material=self._material,
            data=self._data,
            seed=self._seed,
            network=self._round.model,
            masks=to_arrays(self._round.masks),
            snapshot=self._snapshot,
        )

    def _score_pruned(self, model: nn.Module, masks: Masks) -> float:
        """Score the ticket before it is trained; the seconds that this took, which no later pruning will take."""
        begun = self._now()
        frame = Masked(model, masks, self._material)
        frame.load(model.state_dict())
        self.ledger.pruned = score_without_retraining(self._material, frame.model, self._data.validation)
        self.ledger.score = 0.0
        return self._now() - begun

    def _measure(self, epoch: float) -> BudgetCosts:
        """Measure what else there will be: a pruning, a checkpoint, and scores by those on validation images."""
        begun = self._now()
        self._mask(self._target)
        prune = self._now() - begun
        held_out = int(self._material.data["validation"])
        per_image = self._evaluation / held_out if held_out else epoch / len(self._material.split()[0])
        test = per_image * len(self._material.packed.test_labels)
        begun = self._now()
        self._save(self._round)
        return BudgetCosts(epoch, prune, score=self._evaluation + test, finish=2 * test + self._now() - begun)

    def _timed(self, batches: Iterator[Any]) -> Iterator[Any]:
        """A pass over the validation images that tells how long it took, with what was done between the batches."""
        synchronize(self._material.device)
        begun = self._now()
        yield from batches
        synchronize(self._material.device)
        self._evaluation = self._now() - begun
