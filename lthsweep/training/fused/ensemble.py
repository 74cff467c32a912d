"""An ensemble: several trainings that differ only in weights and masks take their steps as one batched model.

Parameters, buffers, masks and optimizer states of the members are stacked along a first dimension, and the tensors of
each member are views of them, so a member is validated and checkpointed like any training. `torch.func` batches the
networks (Horace & Zou, functorch 2021) without a change to their code; every member has its own BatchNorm statistics.
The gradient of the sum of the losses is each member's own gradient, and optimizers are elementwise. So every member
computes the same as alone, up to the rounding of other kernels (docs/fusing.md).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, nullcontext

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from lthsweep.pruning.apply import mask_gradients
from lthsweep.training.evaluation import Score, batch_score, total_scores
from lthsweep.training.fused.compatibility import check_can_fuse
from lthsweep.training.fused.dropout import MemberwiseDropout, has_dropout
from lthsweep.training.fused.members import MemberSums, is_elementwise, stack, stacked
from lthsweep.training.loop import BetweenSteps, StepFunction, forward_and_loss, optimizer_step, train
from lthsweep.training.state import Ending, Training
from lthsweep.training.sums import StepOutcome, Sums

__all__ = ["Ensemble", "train_ensemble"]

Tensors = dict[str, Tensor]
Batched = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
OfNetwork = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], tuple[Tensor, Tensor]]


def train_ensemble(trainings: Sequence[Training], between_steps: Sequence[BetweenSteps]) -> list[Ending]:
    """Train several to the end as one.

    Args:
        trainings: at the same step; they differ only in weights, masks and progress.
        between_steps: one function for each, as for `train`. If one of them stops, all stop.

    Returns:
        For each what `train` would have returned. A member that diverges leaves the ensemble, and the others continue.

    Raises:
        TrainingError: if they cannot be fused; none has taken a step then.
    """
    functions = dict(zip(trainings, between_steps, strict=True))
    endings: dict[Training, Ending] = {}
    while going := [training for training in trainings if training not in endings]:
        with Ensemble(going) as ensemble:
            ending = train(ensemble, ensemble.between_steps(functions), ensemble.step_function())
            ended = ensemble.diverged_members() if ending is Ending.DIVERGED else going
            endings |= dict.fromkeys(ended, ending)
        del ensemble  # frees its memory before the next one is made
    return [endings[training] for training in trainings]


class Ensemble(Training):
    """Trainings that the loop of `lthsweep.training.loop` trains like one, inside `with Ensemble(trainings)`.

    Args:
        trainings: as for `train_ensemble`. They can be read at any time, but not restored or trained.

    Raises:
        TrainingError: if they cannot be fused.
    """

    def __init__(self, trainings: Sequence[Training]) -> None:
        check_can_fuse(trainings)
        leader = trainings[0]
        super().__init__(
            leader.model, leader.data, leader.options, seed=leader.seed, learning_rate=leader.constant_rate
        )
        self.members = trainings
        self.progress = leader.progress
        self.sums = MemberSums([member.progress for member in trainings])
        self._named = [member.parameters for member in trainings]
        self.parameters = stacked(self._named)
        for name, parameter in self.parameters.items():
            parameter.requires_grad_(self._named[0][name].requires_grad)
        self.buffers = stacked([member.buffers for member in trainings])
        self.multipliers = stacked([member.multipliers for member in trainings])
        self.optimizer = self.options.optimizer.build(self.parameters.values())
        self._take_optimizer_states()

    def __enter__(self) -> Ensemble:
        for member in self.members:
            member.sums.read()
            member.sums = self.sums
        self._quiet = ExitStack()
        self._quiet.enter_context(warnings.catch_warnings())
        # An operation that functorch runs member by member is slow, not wrong; `measured_width` measures how slow.
        warnings.filterwarnings("ignore", "There is a performance drop because we have not yet implemented")
        return self

    def __exit__(self, *error: object) -> None:
        """Give every member its own tensors again."""
        self._quiet.close()
        self._share_optimizer_states()
        with torch.no_grad():
            for member in self.members:
                model = member.model
                for tensor in (*model.parameters(), *model.buffers(), *member.multipliers.values()):
                    tensor.data = tensor.detach().clone()
                for state in member.optimizer.state.values():
                    state.update(
                        {entry: value.clone() for entry, value in state.items() if isinstance(value, Tensor)}
                    )
                member.sums.read()
                member.sums = Sums(member.progress)

    # The step.

    def step_function(self) -> StepFunction:
        """The joint step of all members, on a GPU as a CUDA graph."""
        self.model.train()
        inputs, labels = next(iter(self.data.train.epoch(0)))
        if inputs.device.type == "cuda":
            from lthsweep.training.cuda_graph.graphed import graphed_step

            return graphed_step(self, self.gradients(), inputs, labels)
        return optimizer_step(self, self.gradients())

    def gradients(self) -> Callable[[Tensor, Tensor], StepOutcome]:
        """As `plain_gradients`, for all members at once: losses [K] and logits [K, B, classes]."""
        precision, smoothing = self.options.precision, self.options.label_smoothing
        forward = self._batched(
            lambda network, inputs, labels: forward_and_loss(network, inputs, labels, precision, smoothing)
        )
        parameters = list(self.parameters.values())
        masked = {name: self.parameters[name] for name in self.multipliers}

        def gradients(inputs: Tensor, labels: Tensor) -> StepOutcome:
            for parameter in parameters:
                parameter.grad = None
            losses, logits = forward(inputs, labels)
            losses.sum().backward()  # type: ignore[no-untyped-call]
            if masked:
                mask_gradients(masked, self.multipliers)
            return StepOutcome(losses.detach(), logits.detach())

        return gradients

    def _batched(self, compute: OfNetwork) -> Batched:
        """`compute` of every member at once; the code that runs is that of the leader's model."""
        model, parameters, buffers = self.model, self.parameters, self.buffers
        dropout = MemberwiseDropout if has_dropout(model) else nullcontext

        def one(
            parameters: Tensors, buffers: Tensors, inputs: Tensor, labels: Tensor
        ) -> tuple[Tensor, Tensor]:
            with dropout():
                return compute(
                    lambda batch: functional_call(model, (parameters, buffers), (batch,)), inputs, labels
                )

        # Random layers draw once for all members: each gets the same numbers as alone.
        every = vmap(one, in_dims=(0, 0, None, None), randomness="same")

        def batched(inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            found: tuple[Tensor, Tensor] = every(parameters, buffers, inputs, labels)
            return found

        return batched

    # What the loop asks of a training.

    def between_steps(self, functions: Mapping[Training, BetweenSteps]) -> BetweenSteps:
        """A function that calls those of all members, and stops all if one of them stops."""

        def for_all_members(_: Training) -> bool:
            self._share_optimizer_states()
            wishes = [functions[member](member) for member in self.members]
            if not any(wishes):
                return False
            # Members that were asked before the request arrived are asked again, so that all write their checkpoints
            # at this step.
            for member, wish in zip(self.members, wishes, strict=True):
                if not wish:
                    functions[member](member)
            return True

        return for_all_members

    def add_seconds(self, seconds: float) -> None:
        """Every member gets its share of the time."""
        for member in self.members:
            member.progress.seconds_epoch += seconds / len(self.members)

    def scores(self, batches: Iterable[tuple[Tensor, Tensor]] | None = None) -> list[Score]:
        """Scores of all members, by default on the validation data."""
        precision = self.options.precision
        batched = self._batched(
            lambda network, inputs, labels: batch_score(network, precision=precision)(inputs, labels)
        )
        self.model.eval()
        scores = total_scores(batched, batches or self.data.validation(), len(self.members))
        self.model.train()
        return scores

    def finish_epoch(self, epoch: int) -> None:
        """Validate all members at once, and record the epoch of each."""
        scores = self.scores()
        self.count_time()
        for member, score in zip(self.members, scores, strict=True):
            member.record_epoch(epoch, score)

    def has_diverged(self) -> bool:
        """True if any member has diverged."""
        return bool(self.diverged_members())

    @torch.no_grad()
    def diverged_members(self) -> list[Training]:
        """The members whose last loss or any weight is not finite."""
        rows = [weight.reshape(len(self.members), -1) for weight in self.parameters.values()]
        extremes = [extreme for row in rows for extreme in (row.amin(1), row.amax(1))]
        finite = torch.stack(extremes).isfinite().all(0).tolist()
        return [
            member
            for member, weights_are_finite in zip(self.members, finite, strict=True)
            if not (weights_are_finite and math.isfinite(member.progress.curves[-1].train_loss))
        ]

    # Optimizer states.

    def _take_optimizer_states(self) -> None:
        for name, parameter in self.parameters.items():
            states = [
                member.optimizer.state[named[name]]
                for member, named in zip(self.members, self._named, strict=True)
                if named[name] in member.optimizer.state
            ]
            for entry in states[0] if states else ():
                values = [state[entry] for state in states]
                self.optimizer.state[parameter][entry] = (
                    stack(values) if is_elementwise(entry, values[0]) else values[0]
                )
        self._shared_states = -1
        self._share_optimizer_states()

    def _share_optimizer_states(self) -> None:
        """Give the members views of the states that the optimizer has created since the last call.

        The count of steps is one tensor for all.
        """
        if len(self.optimizer.state) == self._shared_states:
            return
        self._shared_states = len(self.optimizer.state)
        for name, parameter in self.parameters.items():
            for entry, value in self.optimizer.state.get(parameter, {}).items():
                for number, (member, named) in enumerate(zip(self.members, self._named, strict=True)):
                    own = value[number] if is_elementwise(entry, value) else value
                    member.optimizer.state[named[name]][entry] = own
