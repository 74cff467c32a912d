"""A ticket within a given time: one epoch is profiled, the rounds are planned, and the plan follows reality.

1. Initialise, train one epoch and measure it, with its evaluation, a pruning and a checkpoint. It counts as training.
2. Plan: how many rounds fit, and the rate p = 1 − (1 − S)^(1/n) at which each prunes (`lthsweep.plan.budget`).
3. In each round train, prune p of what is left, reset the survivors to where the trunk was at the rewind point.
4. Train the ticket.

After every epoch the plan is made anew from the time that is left. A round that turns out too slow is stopped early;
the time is overrun by one epoch at most. The clock is an argument: with a simulated one, tests have any machine they
like.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import nn

from lthsweep.errors import TrainingError
from lthsweep.lottery.frame import Masked
from lthsweep.lottery.ledger import Ledger, Round
from lthsweep.lottery.mask import mask_of
from lthsweep.lottery.material import Arrays, Material, to_arrays, to_tensors
from lthsweep.lottery.origin import Origin, origin_of
from lthsweep.lottery.result import Checkpoint, Result, conclude, measure
from lthsweep.lottery.ticket import amounts_of, clear_pruned, prunable_of, score_without_retraining
from lthsweep.plan.budget import Costs, Standing, next_sparsity, plan_rounds
from lthsweep.plan.run import PruneStep
from lthsweep.pruning.audit import audit, optimizer_momenta
from lthsweep.pruning.masks import Masks
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.training.loop import BetweenSteps, Ending, Training, TrainingData
from lthsweep.training.optimizers import restore_optimizer

__all__ = ["train_budget"]

_EPSILON = 1e-9


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
        seed: the replicate's seed; initialisation, order and augmentation are the trunk's.
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
    run = _BudgetRun(material, seed, step, snapshot, resume, between_steps, save, clock)
    while True:
        ending = run.train()
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
    """The round under way, and what leads from one to the next."""

    def __init__(
        self,
        material: Material,
        seed: int,
        step: PruneStep,
        snapshot: Arrays,
        resume: Checkpoint | None,
        between_steps: BetweenSteps,
        save: Callable[[Training], None],
        clock: Callable[[], float],
    ) -> None:
        assert step.budget is not None and step.sparsity is not None
        self.ledger = Ledger() if resume is None else Ledger.from_dict(resume.progress["budget"])
        self._clock = clock
        self._started = clock() - self.ledger.spent
        self._material, self._seed, self._step = material, seed, step
        self._budget, self._target = step.budget, step.sparsity
        self._snapshot = snapshot
        self._between_steps, self._save = between_steps, save
        self._evaluation = 0.0
        self._interrupted = self._over = False
        data = material.training_data(seed)
        self._data = TrainingData(data.train, lambda: self._timed(data.validation()))
        self._rewind_step = step.point.step(data.train.steps)
        self._origin: Origin | None = None
        model = material.build(seed)
        if resume is None:
            self._round = self._begin(model, {})
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

    @property
    def _full(self) -> int:
        """Epochs of a whole round after a pruning."""
        return self._material.epochs - self._rewind_step // self._round.steps_per_epoch

    def _spent(self) -> float:
        return self._clock() - self._started

    # One round
    # --------------------------------------------------------------------------------------------------

    def train(self) -> Ending:
        """Train to the end of the round, or to where it has to end."""
        self._over = False
        ending = self._round.run(self._look)
        if self._interrupted:
            return "stopped"
        self._close()
        return "diverged" if ending == "diverged" else "finished"

    def _look(self, training: Training) -> bool:
        """Between two steps: keep the accounts, and see whether time runs out."""
        if len(training.progress.curves) > self.ledger.counted:
            self._count_epoch()
        else:
            self._over = self._over or self._is_late()
        if self._over:
            return True
        self._interrupted = self._between_steps(training)
        return self._interrupted

    def _count_epoch(self) -> None:
        ledger, progress = self.ledger, self._round.progress
        steps = progress.step - ledger.epoch_step
        seconds = (self._spent() - ledger.epoch_began) * self._round.steps_per_epoch / steps
        first = ledger.predicted is None
        if first:
            self._profile(seconds)
        ledger.count_epoch(seconds)
        ledger.counted = len(progress.curves)
        ledger.epoch_began, ledger.epoch_step = self._spent(), progress.step
        self._plan(first=first)

    def _profile(self, epoch: float) -> None:
        """Measure what else there will be: a pruning, a checkpoint, and scores by those on validation images."""
        ledger, data = self.ledger, self._material.packed
        begun = self._spent()
        self._mask(self._target)
        ledger.prune = self._spent() - begun
        held_out = int(self._material.data["validation"])
        per_image = self._evaluation / held_out if held_out else epoch / len(self._material.split()[0])
        test = per_image * len(data.test_labels)
        ledger.score = self._evaluation + test
        begun = self._spent()
        self._save(self._round)
        ledger.finish = 2 * test + self._spent() - begun

    def _plan(self, *, first: bool) -> None:
        ledger, progress = self.ledger, self._round.progress
        done = len(progress.curves)
        standing = Standing(self._spent(), ledger.sparsity, ledger.made, done, self._round.length)
        plan = plan_rounds(self._budget, self._target, standing, ledger.costs, self._full, may_refuse=first)
        if first:
            ledger.predicted, ledger.planned, ledger.profile = plan.end, plan.prunings, asdict(ledger.costs)
        elif ledger.ahead and _differ(plan, ledger.ahead):
            ledger.replanned += 1
        ledger.ahead = plan
        self._over = plan.current <= done
        if not self._over:
            self._round.end_after(plan.current)

    def _is_late(self) -> bool:
        """Whether a round must break off in the middle of an epoch, so that its ticket can still be trained."""
        ledger, now = self.ledger, self._spent()
        steps = self._round.progress.step - ledger.epoch_step
        elapsed = (now - ledger.epoch_began) * self._round.steps_per_epoch / max(1, steps)
        if ledger.ahead is None:
            if (
                now > self._budget.seconds
            ):  # with not even one epoch done: refuse now, by what it would have taken
                profiled = Standing(elapsed, done=1, length=self._round.length)
                plan_rounds(self._budget, self._target, profiled, Costs(elapsed), self._full, may_refuse=True)
            return False
        if not ledger.ahead.prunings:
            return False
        costs = ledger.costs
        epoch = max(costs.epoch, elapsed) if now - ledger.epoch_began > costs.epoch else costs.epoch
        epochs = min(self._budget.min_round_epochs, self._full, ledger.ahead.epochs)
        one_more_step = epoch / self._round.steps_per_epoch
        rest = one_more_step + costs.prune + epochs * epoch + costs.score + costs.finish
        late = now + rest > self._budget.seconds * (1 + _EPSILON)
        if late:
            ledger.epochs = [epoch]  # what comes next is planned at this speed, until an epoch says otherwise
        return late

    def _close(self) -> None:
        ledger, progress = self.ledger, self._round.progress
        accuracy = progress.curves[-1].val_accuracy if progress.curves else math.nan
        ledger.rounds.append(
            {
                "epochs": (progress.step - self._round.start_step) / self._round.steps_per_epoch,
                "rate": ledger.rate,
                "sparsity": ledger.sparsity,
                "seconds": self._spent() - ledger.began,
                "val_accuracy": accuracy if math.isfinite(accuracy) else None,
            }
        )

    # From one round to the next
    # ------------------------------------------------------------------------------------------------

    def prune(self) -> None:
        """Prune the network as it was trained, reset the survivors, and begin the next round."""
        ledger, before = self.ledger, self._round
        begun = self._spent()
        standing = Standing(begun, ledger.sparsity, ledger.made)
        plan = plan_rounds(self._budget, self._target, standing, ledger.costs, self._full)
        if ledger.ahead and (plan.prunings, plan.epochs) != (ledger.ahead.prunings, ledger.ahead.epochs):
            ledger.replanned += 1
        sparsity = next_sparsity(ledger.sparsity, self._target, plan.prunings)
        ledger.left = {name: int(mask.sum()) for name, mask in before.masks.items()}
        masks = self._mask(sparsity)
        if plan.prunings == 1:
            scoring = self._spent()
            frame = Masked(before.model, masks, self._material)
            frame.load(before.model.state_dict())
            ledger.pruned = score_without_retraining(self._material, frame.model, self._data.validation)
            begun += self._spent() - scoring
            ledger.score = 0.0
        ledger.made, ledger.sparsity, ledger.rate = ledger.made + 1, sparsity, plan.rate
        later = plan.epochs if plan.prunings > 1 else 0
        ledger.ahead = replace(plan, current=plan.epochs, prunings=plan.prunings - 1, epochs=later)
        self._round = self._begin(before.model, masks, before)
        ledger.prune = self._spent() - begun
        if plan.epochs < self._round.length:
            self._round.end_after(plan.epochs)

    def _mask(self, sparsity: float) -> Masks:
        """The masks of a sparsity, by the weights as they are now, inside of the present ones."""
        return mask_of(
            replace(self._step, sparsity=sparsity),
            material=self._material,
            data=self._data,
            seed=self._seed,
            prunable=prunable_weights(self._round.model, self._step.exclude),
            parent=to_arrays(self._round.masks),
        )

    def _begin(self, model: nn.Module, masks: Masks, before: Round | None = None) -> Round:
        """A new round, whose time begins now; what was trained and how long adds up over all rounds."""
        began = self._open(model, masks)
        if before is not None:
            began.progress.images = before.progress.images
            began.progress.seconds_train = before.progress.seconds_train + before.progress.seconds_epoch
        ledger = self.ledger
        ledger.pace, ledger.counted = None, 0
        ledger.began = ledger.epoch_began = self._spent()
        ledger.epoch_step = began.start_step
        return began

    def _open(self, model: nn.Module, masks: Masks) -> Round:
        """A round at its start: survivors where the trunk was at the rewind point; the dense one at initialisation."""
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
            now=self._spent,
        )
        if masks and self._origin and self._origin.optimizer:
            restore_optimizer(opened.optimizer, model, to_tensors(self._origin.optimizer))
            clear_pruned(opened, masks)
        self._started_from = _copies(prunable_weights(model, self._step.exclude))
        return opened

    def _timed(self, batches: Iterator[Any]) -> Iterator[Any]:
        """A pass over the validation images that tells how long it took, with what was done between the batches."""
        begun = self._spent()
        yield from batches
        self._evaluation = self._spent() - begun

    # The end
    # -------------------------------------------------------------------------------------------------------

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
        metrics |= ledger.pruned | amounts_of(self._step, ledger.made, metrics)
        metrics |= {
            "before_val_accuracy": math.nan if before is None else before,
            "epochs_trained": ledger.epochs_before,
            "rounds": ledger.made,
            "seconds_budget": self._budget.seconds,
            "seconds_predicted": ledger.predicted,
            "seconds_spent": self._spent(),
        }
        result = conclude(training, ending, metrics, masks, prunable, found.to_dict())
        return replace(result, notes={"budget": self._account(metrics)})

    def _account(self, metrics: Mapping[str, float]) -> dict[str, Any]:
        """Where the time went, for the record."""
        ledger = self.ledger
        return {
            "seconds": self._budget.seconds,
            "predicted": metrics["seconds_predicted"],
            "spent": metrics["seconds_spent"],
            "rounds_planned": ledger.planned,
            "replanned": ledger.replanned,
            "profile": ledger.profile,
            "rounds": ledger.rounds,
        }


def _differ(plan: Any, other: Any) -> bool:
    return (plan.current, plan.prunings, plan.epochs) != (other.current, other.prunings, other.epochs)


def _copies(weights: Mapping[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in weights.items()}
