"""A ticket within a given time: the dense epochs and the prunings are planned so that the time suffices.

1. Train one epoch from initialization and measure it, and with it an evaluation, a pruning and a checkpoint.
2. Plan how many rounds fit, and the rate p = 1 − (1 − S)^(1/n) at which each of them prunes (`lthsweep.plan.rounds`).
3. In each round: train, prune p of the remaining weights, rewind the survivors.
4. The last round trains the ticket.

`lthsweep.lottery.budget_planner` revises the plan after every epoch. A round that is too slow is stopped early; the
budget is exceeded by one epoch at most. The clock is an argument, so tests can simulate any machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from torch import nn

from lthsweep.data.batching import LabeledBatch
from lthsweep.errors import TrainingError
from lthsweep.lottery.budget_planner import BudgetPlanner, BudgetState
from lthsweep.lottery.budget_round import BudgetRound
from lthsweep.lottery.context import TrainingContext, to_arrays, to_tensors
from lthsweep.lottery.mask import mask_of
from lthsweep.lottery.pruned_network import MaskedNetwork, clear_pruned
from lthsweep.lottery.result import Checkpoint, Result, score_without_retraining
from lthsweep.lottery.starting_point import StartingPoint, starting_point_of
from lthsweep.lottery.ticket import PreparedTicket, conclude_ticket, prunable_of
from lthsweep.models.layers import state_of
from lthsweep.plan.prune_step import PruneStep
from lthsweep.plan.rounds import BudgetCosts, next_sparsity
from lthsweep.pruning.masks import Masks
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.store.weights import Arrays
from lthsweep.training.devices import synchronize
from lthsweep.training.loop import BetweenSteps, never_stop, train
from lthsweep.training.optimizers import restore_optimizer
from lthsweep.training.state import Ending, Training, TrainingData

__all__ = ["train_budget"]


def train_budget(
    context: TrainingContext,
    seed: int,
    prune: PruneStep,
    *,
    snapshot: Arrays,
    dense_val_accuracy: float,
    resume: Checkpoint | None = None,
    between_steps: BetweenSteps = never_stop,
    save: Callable[[Training], None] = lambda training: None,
    clock: Callable[[], float] = time.monotonic,
) -> Result | None:
    """Train a ticket of the sparsity of `prune` within its budget.

    Args:
        context: data and model of the run.
        seed: seed of the replicate; initialization, order and augmentation are those of the dense run.
        prune: how much is pruned, the budget, and where survivors return to.
        snapshot: snapshot of the dense run at the rewind point.
        dense_val_accuracy: last validation accuracy of the dense run, for `steps_to_dense`.
        resume: checkpoint of an earlier attempt, with the time that it spent.
        between_steps: as for `train`.
        save: writes a checkpoint; called once, to measure how long that takes.
        clock: seconds, never decreasing.

    Returns:
        The result, or None if `between_steps` stopped the run.

    Raises:
        BudgetError: if the budget is too short for the shortest rounds that are allowed.
        PruningError: if a mask cannot be made.
        TrainingError: if training diverges before the last pruning.
    """
    run = _BudgetRun(context, seed, prune, snapshot, resume, save, clock)
    while True:
        ending = run.train_round(between_steps)
        if ending is Ending.STOPPED:
            return None
        if run.is_last_round:
            return run.conclude(ending, dense_val_accuracy)
        if ending is Ending.DIVERGED:
            raise TrainingError(
                f"round {run.state.made + 1} diverged (loss not finite), so there are no weights to rank; "
                f"lower train.optimizer.lr or lengthen train.schedule.warmup"
            )
        run.prune_and_rewind()


class _BudgetRun:
    """The current round of a budget run, and the step from one round to the next."""

    def __init__(
        self,
        context: TrainingContext,
        seed: int,
        prune: PruneStep,
        snapshot: Arrays,
        resume: Checkpoint | None,
        save: Callable[[Training], None],
        clock: Callable[[], float],
    ) -> None:
        assert prune.budget is not None and prune.sparsity is not None
        self.state = BudgetState() if resume is None else BudgetState.from_dict(resume.progress["budget"])
        self._clock, self._started = clock, clock() - self.state.spent
        self._context, self._seed, self._prune = context, seed, prune
        self._budget, self._target = prune.budget, prune.sparsity
        self._snapshot, self._save = snapshot, save
        data = context.training_data(seed)
        self._data = TrainingData(data.train, lambda: self._timed(data.validation()))
        self._evaluation = 0.0
        self._rewind_step = prune.point.step(data.train.steps)
        full = context.train.epochs - self._rewind_step // data.train.steps
        self._planner = BudgetPlanner(
            self._budget, self._target, full, state=self.state, now=self._now, measure=self._measure
        )
        self._starting_point: StartingPoint | None = None
        tensors = {} if resume is None else resume.tensors
        masks = {
            name.removeprefix("mask/"): mask.to(context.device)
            for name, mask in tensors.items()
            if name.startswith("mask/")
        }
        self._round = self._open_round(context.build(seed), masks)
        if resume is None:
            self._planner.begin_round(self._round.progress.step)
        else:
            self._round.restore(resume.tensors, resume.progress)

    @property
    def is_last_round(self) -> bool:
        """True if the current round trains the ticket."""
        return self.state.sparsity >= self._target

    def train_round(self, between_steps: BetweenSteps) -> Ending:
        """Train to the end of the round, or to where the planner ends it."""
        interrupted = False

        def unless_over(training: Training) -> bool:
            nonlocal interrupted
            if self._round_is_over():
                return True
            interrupted = between_steps(training)
            return interrupted

        ending = train(self._round, unless_over)
        if interrupted:
            return Ending.STOPPED
        self._planner.end_round(self._round.epochs_done, self._round.progress.curves)
        return Ending.DIVERGED if ending is Ending.DIVERGED else Ending.FINISHED

    def prune_and_rewind(self) -> None:
        """Prune the trained network, rewind the survivors, and open the next round."""
        state, before = self.state, self._round
        begun = self._now()
        plan = self._planner.plan_next_rounds()
        sparsity = next_sparsity(state.sparsity, self._target, plan.prunings)
        state.left = {name: int(mask.sum()) for name, mask in before.masks.items()}
        masks = self._mask(sparsity)
        if plan.prunings == 1:
            begun += self._score_pruned(before.model, masks)
        self._planner.count_pruning(plan, sparsity)
        self._round = self._open_round(before.model, masks)
        self._round.progress.samples = before.progress.samples  # these two add up over all rounds
        self._round.progress.seconds_train = before.progress.seconds_train + before.progress.seconds_epoch
        self._planner.begin_round(self._rewind_step)
        state.prune = self._now() - begun
        if plan.epochs < self._round.length:
            self._round.end_after(plan.epochs)

    def conclude(self, ending: Ending, dense_val_accuracy: float) -> Result:
        """Measure and audit the ticket."""
        state, current = self.state, self._round
        assert self._starting_point is not None and state.predicted is not None
        before = state.rounds[-2]["val_accuracy"]
        ticket = PreparedTicket(
            training=current,
            context=self._context,
            prune=self._prune,
            dense_val_accuracy=dense_val_accuracy,
            network=MaskedNetwork(current.model, current.masks, self._context),
            masks=current.masks,
            prunable=prunable_weights(current.model, self._prune.exclude),
            pruned_from=None,
            rewound_to=prunable_of(self._starting_point.weights, current.masks),
            started_from=self._started_from,
            kept_before=state.left or None,
            earlier_metrics={**state.pruned, "before_val_accuracy": math.nan if before is None else before},
        )
        result = conclude_ticket(ticket, ending)
        spent = self._now()
        metrics = replace(
            result.metrics,
            epochs_trained=state.epochs_before,
            rounds=state.made,
            seconds_budget=self._budget.seconds,
            seconds_predicted=state.predicted,
            seconds_spent=spent,
        )
        notes: dict[str, object] = {"budget": state.account(self._budget.seconds, spent)}
        return replace(result, metrics=metrics, notes=notes)

    def _now(self) -> float:
        """Seconds that the run has spent."""
        return self._clock() - self._started

    def _round_is_over(self) -> bool:
        current = self._round
        if len(current.progress.curves) == self.state.counted:
            return self._planner.is_late(current.progress.step, current.steps_per_epoch, current.length)
        epochs = self._planner.plan_after_epoch(
            len(current.progress.curves), current.progress.step, current.steps_per_epoch, current.length
        )
        if epochs <= len(current.progress.curves):
            return True
        current.end_after(epochs)
        return False

    def _open_round(self, model: nn.Module, masks: Masks) -> BudgetRound:
        """A round at its start: with masks at the rewind point, without them at initialization."""
        if masks:
            self._starting_point = starting_point_of(
                self._prune,
                context=self._context,
                seed=self._seed,
                final={},
                snapshot=self._snapshot,
                masks=masks,
            )
            model.load_state_dict(to_tensors(self._starting_point.weights))
        start_step = self._rewind_step if masks else 0
        opened = BudgetRound(
            model,
            self._data,
            self._context.train,
            seed=self._seed,
            start_step=start_step,
            masks=masks,
            lasso=MaskedNetwork(model, masks, self._context).lasso(),
        )
        opened.masks, opened.start_step = masks, start_step
        opened.budget_state, opened.now = self.state, self._now
        if masks and self._starting_point and self._starting_point.optimizer:
            restore_optimizer(opened.optimizer, model, to_tensors(self._starting_point.optimizer))
            clear_pruned(opened, masks)
        prunable = prunable_weights(model, self._prune.exclude)
        self._started_from = {name: weight.detach().clone() for name, weight in prunable.items()}
        return opened

    def _mask(self, sparsity: float) -> Masks:
        """Masks of a sparsity by the current weights, inside the current masks."""
        return mask_of(
            replace(self._prune, sparsity=sparsity),
            context=self._context,
            data=self._data,
            seed=self._seed,
            network=self._round.model,
            masks=to_arrays(self._round.masks),
            snapshot=self._snapshot,
        )

    def _score_pruned(self, model: nn.Module, masks: Masks) -> float:
        """Score the ticket before it is retrained; returns the seconds, which no later pruning needs."""
        begun = self._now()
        network = MaskedNetwork(model, masks, self._context)
        network.load(state_of(model))
        self.state.pruned = score_without_retraining(self._context, network.model, self._data.validation)
        self.state.score = 0.0
        return self._now() - begun

    def _measure(self, epoch: float) -> BudgetCosts:
        """Measure a pruning and a checkpoint, and estimate test scores from the time of the validation."""
        begun = self._now()
        self._mask(self._target)
        prune = self._now() - begun
        held_out = self._context.data.validation
        per_sample = self._evaluation / held_out if held_out else epoch / len(self._context.split()[0])
        test = per_sample * len(self._context.packed.test_labels)
        begun = self._now()
        self._save(self._round)
        return BudgetCosts(epoch, prune, score=self._evaluation + test, finish=2 * test + self._now() - begun)

    def _timed(self, batches: Iterator[LabeledBatch]) -> Iterator[LabeledBatch]:
        """Measure the time of a pass over the validation data, including the work between its batches."""
        synchronize(self._context.device)
        begun = self._now()
        yield from batches
        synchronize(self._context.device)
        self._evaluation = self._now() - begun
