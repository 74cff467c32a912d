"""A ticket within a given time: one epoch is profiled, the rounds are planned, and the plan follows reality.

1. Initialize, train one epoch and measure it, with its evaluation, a pruning and a checkpoint. It counts as training.
2. Plan: how many rounds fit, and the rate p = 1 − (1 − S)^(1/n) at which each prunes (`lthsweep.plan.rounds`).
3. In each round train, prune p of what is left, reset the survivors to where the trunk was at the rewind point.
4. Train the ticket.

After every epoch the plan is made anew (`lthsweep.lottery.budget_planner`). A round that turns
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
from lthsweep.lottery.budget_planner import BudgetPlanner
from lthsweep.lottery.budget_round import BudgetRound
from lthsweep.lottery.budget_state import BudgetState
from lthsweep.lottery.context import Arrays, TrainingContext, to_arrays, to_tensors
from lthsweep.lottery.mask import mask_of
from lthsweep.lottery.pruned_network import MaskedNetwork, clear_pruned
from lthsweep.lottery.result import (
    Checkpoint,
    Result,
    conclude,
    measure,
    score_without_retraining,
)
from lthsweep.lottery.starting_point import StartingPoint, starting_point_of
from lthsweep.lottery.ticket import prunable_of
from lthsweep.plan.prune_step import PruneStep
from lthsweep.plan.rounds import BudgetCosts, next_sparsity
from lthsweep.pruning.audit import audit, optimizer_momenta
from lthsweep.pruning.masks import Masks
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.training.devices import synchronize
from lthsweep.training.loop import BetweenSteps, never_stop, train
from lthsweep.training.optimizers import restore_optimizer
from lthsweep.training.training import Ending, Training, TrainingData

__all__ = ["train_budget"]


def train_budget(
    context: TrainingContext,
    seed: int,
    step: PruneStep,
    *,
    snapshot: Arrays,
    dense_val_accuracy: float,
    resume: Checkpoint | None = None,
    between_steps: BetweenSteps = never_stop,
    save: Callable[[Training], None] = lambda training: None,
    clock: Callable[[], float] = time.monotonic,
) -> Result | None:
    """Make a ticket of the sparsity of `step` in the time of its budget.

    Args:
        context: data and model of the run.
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
    run = _BudgetRun(context, seed, step, snapshot, resume, save, clock)
    while True:
        ending = run.train(between_steps)
        if ending is Ending.STOPPED:
            return None
        if run.is_last:
            return run.conclude(ending, dense_val_accuracy)
        if ending is Ending.DIVERGED:
            raise TrainingError(
                f"round {run.budget_state.made + 1} diverged (loss not finite), so there are no weights to rank; "
                f"lower train.optimizer.lr or lengthen train.schedule.warmup"
            )
        run.prune()


class _BudgetRun:
    """The network of a budget run: the round under way, and what leads from one to the next."""

    def __init__(
        self,
        context: TrainingContext,
        seed: int,
        step: PruneStep,
        snapshot: Arrays,
        resume: Checkpoint | None,
        save: Callable[[Training], None],
        clock: Callable[[], float],
    ) -> None:
        assert step.budget is not None and step.sparsity is not None
        self.budget_state = (
            BudgetState() if resume is None else BudgetState.from_dict(resume.progress["budget"])
        )
        self._clock, self._started = clock, clock() - self.budget_state.spent
        self._context, self._seed, self._step = context, seed, step
        self._budget, self._target = step.budget, step.sparsity
        self._snapshot, self._save = snapshot, save
        data = context.training_data(seed)
        self._data = TrainingData(data.train, lambda: self._timed(data.validation()))
        self._evaluation = 0.0
        self._rewind_step = step.point.step(data.train.steps)
        full = context.train.epochs - self._rewind_step // data.train.steps
        self._time = BudgetPlanner(
            self._budget,
            self._target,
            full,
            state=self.budget_state,
            now=self._now,
            measure=self._measure,
        )
        self._starting_point: StartingPoint | None = None
        model = context.build(seed)
        if resume is None:
            self._round = self._open(model, {})
            self._time.begin(self._round)
            return
        masks = {
            name.removeprefix("mask/"): mask.to(context.device)
            for name, mask in resume.tensors.items()
            if name.startswith("mask/")
        }
        self._round = self._open(model, masks)
        self._round.restore(resume.tensors, resume.progress)

    @property
    def is_last(self) -> bool:
        """Whether the round under way trains the ticket."""
        return self.budget_state.sparsity >= self._target

    def train(self, between_steps: BetweenSteps) -> Ending:
        """Train to the end of the round, or to where it has to end."""
        interrupted = False

        def look(training: Training) -> bool:
            nonlocal interrupted
            if self._time.ends(self._round):
                return True
            interrupted = between_steps(training)
            return interrupted

        ending = train(self._round, look)
        if interrupted:
            return Ending.STOPPED
        self._time.close(self._round)
        return Ending.DIVERGED if ending is Ending.DIVERGED else Ending.FINISHED

    def prune(self) -> None:
        """Prune the network as it was trained, reset the survivors, and begin the next round."""
        budget_state, before = self.budget_state, self._round
        begun = self._now()
        plan = self._time.before_pruning()
        sparsity = next_sparsity(budget_state.sparsity, self._target, plan.prunings)
        budget_state.left = {name: int(mask.sum()) for name, mask in before.masks.items()}
        masks = self._mask(sparsity)
        if plan.prunings == 1:
            begun += self._score_pruned(before.model, masks)
        self._time.pruned(plan, sparsity)
        self._round = self._open(before.model, masks)
        self._round.go_on_counting(before)
        self._time.begin(self._round)
        budget_state.prune = self._now() - begun
        if plan.epochs < self._round.length:
            self._round.end_after(plan.epochs)

    def conclude(self, ending: Ending, dense_val_accuracy: float) -> Result:
        """Score and audit the ticket."""
        budget_state, training, masks = self.budget_state, self._round, self._round.masks
        prunable = prunable_weights(training.model, self._step.exclude)
        if ending is Ending.DIVERGED:
            clear_pruned(training, masks)
        assert self._starting_point is not None and budget_state.predicted is not None
        metrics = measure(
            self._context,
            training,
            ending,
            masks=masks,
            prunable=prunable,
            start_step=training.start_step,
            dense_val_accuracy=dense_val_accuracy,
        )
        found = audit(
            masks,
            snapshot=prunable_of(self._starting_point.weights, masks),
            start=self._started_from,
            final={name: weight.detach() for name, weight in prunable.items()},
            momenta=optimizer_momenta(training.optimizer, prunable),
            sparsity=self._target,
            scope=self._step.scope,
            rates=self._step.rates,
            left=budget_state.left or None,
        )
        before = budget_state.rounds[-2]["val_accuracy"]
        spent = self._now()
        metrics = replace(
            metrics,
            **budget_state.pruned,
            before_val_accuracy=math.nan if before is None else before,
            epochs_trained=budget_state.epochs_before,
            rounds=budget_state.made,
            seconds_budget=self._budget.seconds,
            seconds_predicted=budget_state.predicted,
            seconds_spent=spent,
        )
        result = conclude(training, ending, metrics, masks, prunable, found.to_dict())
        return replace(result, notes={"budget": budget_state.account(self._budget.seconds, spent)})

    def _now(self) -> float:
        """Seconds that the run has spent."""
        return self._clock() - self._started

    def _open(self, model: nn.Module, masks: Masks) -> BudgetRound:
        """A round at its start: survivors where the trunk was at the rewind point; the dense one at initialization."""
        if masks:
            self._starting_point = starting_point_of(
                self._step,
                context=self._context,
                seed=self._seed,
                final={},
                snapshot=self._snapshot,
                masks=masks,
            )
            model.load_state_dict(to_tensors(self._starting_point.weights))
        opened = BudgetRound(
            model,
            self._data,
            self._context.train,
            seed=self._seed,
            start_step=self._rewind_step if masks else 0,
            masks=masks,
            lasso=MaskedNetwork(model, masks, self._context).lasso(),
            budget_state=self.budget_state,
            now=self._now,
        )
        if masks and self._starting_point and self._starting_point.optimizer:
            restore_optimizer(opened.optimizer, model, to_tensors(self._starting_point.optimizer))
            clear_pruned(opened, masks)
        prunable = prunable_weights(model, self._step.exclude)
        self._started_from = {name: weight.detach().clone() for name, weight in prunable.items()}
        return opened

    def _mask(self, sparsity: float) -> Masks:
        """The masks of a sparsity, by the weights as they are now, inside of the present ones."""
        return mask_of(
            replace(self._step, sparsity=sparsity),
            context=self._context,
            data=self._data,
            seed=self._seed,
            network=self._round.model,
            masks=to_arrays(self._round.masks),
            snapshot=self._snapshot,
        )

    def _score_pruned(self, model: nn.Module, masks: Masks) -> float:
        """Score the ticket before it is trained; the seconds that this took, which no later pruning will take."""
        begun = self._now()
        network = MaskedNetwork(model, masks, self._context)
        network.load(model.state_dict())
        self.budget_state.pruned = score_without_retraining(
            self._context, network.model, self._data.validation
        )
        self.budget_state.score = 0.0
        return self._now() - begun

    def _measure(self, epoch: float) -> BudgetCosts:
        """Measure what else there will be: a pruning, a checkpoint, and scores by those on validation images."""
        begun = self._now()
        self._mask(self._target)
        prune = self._now() - begun
        held_out = int(self._context.data["validation"])
        per_image = self._evaluation / held_out if held_out else epoch / len(self._context.split()[0])
        test = per_image * len(self._context.packed.test_labels)
        begun = self._now()
        self._save(self._round)
        return BudgetCosts(epoch, prune, score=self._evaluation + test, finish=2 * test + self._now() - begun)

    def _timed(self, batches: Iterator[Any]) -> Iterator[Any]:
        """A pass over the validation images that tells how long it took, with what was done between the batches."""
        synchronize(self._context.device)
        begun = self._now()
        yield from batches
        synchronize(self._context.device)
        self._evaluation = self._now() - begun
