"""Who takes the steps of a training loop: one training, or several at once.

What they share is here: parameters by name (of several members stacked along a first dimension), their masks, an
optimizer that is elementwise and so does not know the difference, and looks at the weights after each epoch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lthsweep.errors import TrainingError
from lthsweep.training.cuda_graph.graphed import graphed
from lthsweep.training.evaluation import Score
from lthsweep.training.step import Gradients, Outcome, gradients_of, outcome_of
from lthsweep.training.sums import Sums

if TYPE_CHECKING:
    from lthsweep.training.loop import Training

__all__ = ["Alone", "Team"]


class Team(ABC):
    """One or several trainings that agree on everything but weights and masks.

    Args:
        members: one at least; the first speaks for all where they agree.
        outcome: (images, labels) → what a batch comes to, by which it can be differentiated.
        parameters: all that is trained, by name.
        buffers: what a step changes besides, such as statistics of BatchNorm.
        multipliers: of those that are masked.
        optimizer: of the parameters.
        sums: of the members.
    """

    def __init__(
        self,
        members: Sequence[Training],
        outcome: Callable[[Tensor, Tensor], Outcome],
        parameters: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        multipliers: Mapping[str, Tensor],
        optimizer: torch.optim.Optimizer,
        sums: Sums,
    ) -> None:
        self.members = members
        self.outcome = outcome
        self.parameters = parameters
        self.buffers = buffers
        self.multipliers = multipliers
        self.optimizer = optimizer
        self.sums = sums
        self._gradients: Gradients | None = None

    @abstractmethod
    def scores(self) -> Sequence[Score]:
        """On the validation data, of each member."""

    def begin(self, images: Tensor, labels: Tensor) -> None:
        """Get ready for steps on batches like this one."""
        self.members[0].model.train()
        self._gradients = graphed(
            gradients_of(self.outcome, self.parameters, self.multipliers),
            images,
            labels,
            parameters=list(self.parameters.values()),
            buffers=list(self.buffers.values()),
            precision=self.members[0].precision,
        )

    def step(self, images: Tensor, labels: Tensor, rate: float) -> Outcome:
        """One step of the optimizer at a learning rate."""
        assert self._gradients is not None  # `begin` comes first
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        outcome = self._gradients(images, labels)
        self.optimizer.step()
        return outcome

    def forget_gradients(self) -> None:
        """Before weights are scored, on a CPU: gradients lie in the middle of the heap, and evaluation batches that
        find no place between them make the process grow, MobileNetV2's by an eighth. Elsewhere a recording fills them.
        """
        for parameter in self.parameters.values():
            if parameter.is_cpu:
                parameter.grad = None

    @torch.no_grad()
    def finite(self) -> list[bool]:
        """Whether all weights are numbers, of each member."""
        # The largest and least of a row with a NaN are NaN; `isfinite` of every weight takes ten times as long.
        rows = [weight.reshape(len(self.members), -1) for weight in self.parameters.values()]
        ends = [end for row in rows for end in (row.amin(1), row.amax(1))]
        answer: list[bool] = torch.stack(ends).isfinite().all(0).tolist()
        return answer

    @torch.no_grad()
    def check_pruned(self) -> None:
        """Masked gradients hold pruned weights at zero with every optimizer here; look whether it is so.

        Raises:
            TrainingError: if a pruned weight is not zero.
        """
        # All weights are finite here, so that what pruned ones are off by is no NaN.
        moved = [
            name
            for name, factor in self.multipliers.items()
            if bool((self.parameters[name] * factor).sub_(self.parameters[name]).abs_().amax())
        ]
        if moved:
            raise TrainingError(
                f"{type(self.optimizer).__name__} moved pruned weights of {', '.join(moved)} without a gradient; "
                f"choose another train.optimizer, and report this: tickets trained with it would not be sparse"
            )


class Alone(Team):
    """A team of one: the training's own model and optimizer."""

    def __init__(self, training: Training) -> None:
        self._training = training
        super().__init__(
            (training,),
            outcome_of(training.model, precision=training.precision, smoothing=training.smoothing),
            dict(training.model.named_parameters()),
            dict(training.model.named_buffers()),
            training.multipliers,
            training.optimizer,
            training.sums,
        )

    def step(self, images: Tensor, labels: Tensor, rate: float) -> Outcome:
        """As of any team; then the proximal step of the group lasso, where there is one."""
        outcome = super().step(images, labels, rate)
        if self._training.lasso is not None:
            self._training.lasso.step(rate)
        return outcome

    def scores(self) -> Sequence[Score]:
        """By the training's own validation."""
        return [self._training.validate()]
