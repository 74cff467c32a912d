"""Several trainings as one: networks that differ in weights and masks alone take their steps as one batched model.

Parameters, buffers, masks and optimizer states lie side by side, member by member along a first dimension, and each
member's own tensors are views of them: its state, its validation and its checkpoints are those of any training. The
networks are batched by `torch.func` (Horace & Zou, functorch 2021), with no change to their code; each has BatchNorm
statistics of its own. The gradient of the sum of the members' losses is to each its own, and optimizers are
elementwise. So every member computes what it would alone, up to the rounding of other kernels (docs/fusing.md).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from lthsweep.training.epochs import BetweenSteps, Ending, train
from lthsweep.training.evaluation import Score, tally_of, total
from lthsweep.training.fused.alike import check_alike
from lthsweep.training.fused.dropout import DrawnAlone, has_dropout
from lthsweep.training.loop import Training
from lthsweep.training.optimizers import optimizer_over
from lthsweep.training.step import Outcome, outcome_of
from lthsweep.training.sums import Sums
from lthsweep.training.team import Team

__all__ = ["Ensemble", "train_ensemble"]

Tensors = dict[str, Tensor]
Batched = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
OfOne = Callable[[Callable[[Tensor], Tensor]], Batched]


def train_ensemble(trainings: Sequence[Training], between_steps: Sequence[BetweenSteps]) -> list[Ending]:
    """Train several to the end as one.

    Args:
        trainings: at the same step, alike in all but weights, masks, and what they have come to.
        between_steps: one for each, as for `Training.run`. If one stops, all stop.

    Returns:
        For each what its `Training.run` would have returned. One that diverges leaves; the others go on.

    Raises:
        TrainingError: if they cannot be trained as one; none has taken a step then.
    """
    hook_of = dict(zip(trainings, between_steps, strict=True))
    endings: dict[Training, Ending] = {}
    while going := [training for training in trainings if training not in endings]:
        with Ensemble(going) as ensemble:
            endings |= train(ensemble, hook_of)
        del ensemble  # and with it what the members have left, before the next one takes its place
    return [endings[training] for training in trainings]


class Ensemble(Team):
    """A team whose members live in each other's neighborhood, from `with Ensemble(trainings) as ensemble` to its end.

    Args:
        trainings: as for `train_ensemble`. They may be read at any time, but not be restored or run.

    Raises:
        TrainingError: if they cannot be trained as one.
    """

    def __init__(self, trainings: Sequence[Training]) -> None:
        check_alike(trainings)
        leader, precision = trainings[0], trainings[0].precision
        named = [dict(training.model.named_parameters()) for training in trainings]
        parameters = _side_by_side(named)
        for name, parameter in parameters.items():
            parameter.requires_grad_(named[0][name].requires_grad)
        buffers = _side_by_side([dict(training.model.named_buffers()) for training in trainings])

        def batched(made: OfOne) -> Batched:
            return _batched(leader.model, parameters, buffers, made)

        super().__init__(
            trainings,
            batched(lambda network: outcome_of(network, precision=precision, smoothing=leader.smoothing)),
            parameters,
            buffers,
            _side_by_side([training.multipliers for training in trainings]),
            optimizer_over(parameters.values(), leader.options["optimizer"]),
            Sums([training.progress for training in trainings]),
        )
        self.tally = batched(lambda network: tally_of(network, precision=precision))
        self._named = named
        self._take_states()

    def __enter__(self) -> Ensemble:
        for training in self.members:
            training.sums.read()
            training.sums = self.sums
        self._quiet = ExitStack()
        self._quiet.enter_context(warnings.catch_warnings())
        # An operation that functorch takes member by member is slow, not wrong; `measured_width` sees how slow.
        warnings.filterwarnings("ignore", "There is a performance drop because we have not yet implemented")
        return self

    def __exit__(self, *error: object) -> None:
        """Give each member tensors of its own again."""
        self._quiet.close()
        with torch.no_grad():
            for training in self.members:
                model = training.model
                for tensor in (*model.parameters(), *model.buffers(), *training.multipliers.values()):
                    tensor.data = tensor.detach().clone()
                for state in training.optimizer.state.values():
                    state.update(
                        {entry: value.clone() for entry, value in state.items() if isinstance(value, Tensor)}
                    )
                training.sums.read()
                training.sums = Sums([training.progress])

    def step(self, images: Tensor, labels: Tensor, rate: float) -> Outcome:
        """As of any team; what the optimizer has begun to remember is handed to the members."""
        known = len(self.optimizer.state)
        outcome = super().step(images, labels, rate)
        if len(self.optimizer.state) != known:
            self._hand_out_states()
        return outcome

    def scores(self) -> Sequence[Score]:
        """On the validation data, all members at once."""
        leader = self.members[0]
        leader.model.eval()
        scores = total(self.tally, leader.data.validation(), len(self.members))
        leader.model.train()
        return scores

    def _take_states(self) -> None:
        for name, parameter in self.parameters.items():
            states = [
                training.optimizer.state[named[name]]
                for training, named in zip(self.members, self._named, strict=True)
                if named[name] in training.optimizer.state
            ]
            for entry in states[0] if states else ():
                values = [state[entry] for state in states]
                self.optimizer.state[parameter][entry] = (
                    _whole(values) if _is_elementwise(entry, values[0]) else values[0]
                )
        self._hand_out_states()

    def _hand_out_states(self) -> None:
        """Views of momenta; of the count of steps the one that goes on counting."""
        for name, parameter in self.parameters.items():
            for entry, value in self.optimizer.state.get(parameter, {}).items():
                for number, (training, named) in enumerate(zip(self.members, self._named, strict=True)):
                    own = value[number] if _is_elementwise(entry, value) else value
                    training.optimizer.state[named[name]][entry] = own


def _batched(model: torch.nn.Module, parameters: Tensors, buffers: Tensors, made: OfOne) -> Batched:
    """What `made` makes of one network, of all at once whose tensors are stacked; the code run is that of `model`."""

    drawn: Callable[[], AbstractContextManager[object]] = DrawnAlone if has_dropout(model) else nullcontext

    def one(parameters: Tensors, buffers: Tensors, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with drawn():
            return made(lambda batch: functional_call(model, (parameters, buffers), (batch,)))(images, labels)

    # Random layers draw once for all: each member draws as it would alone.
    fused = vmap(one, in_dims=(0, 0, None, None), randomness="same")

    def every(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = fused(parameters, buffers, images, labels)
        return found

    return every


def _side_by_side(members: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: _whole([tensors[name] for tensors in members]) for name in members[0]}


@torch.no_grad()
def _whole(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors of one shape in one, [K, ...], of which each becomes a view; in the memory format of the first."""
    first = tensors[0]
    strides = torch.empty_like(first, device="meta").stride()
    whole = torch.empty_strided(
        (len(tensors), *first.shape),
        (max(1, first.numel()), *strides),
        dtype=first.dtype,
        device=first.device,
    )
    for place, tensor in zip(whole, tensors, strict=True):
        place.copy_(tensor)
        tensor.data = place
    return whole


def _is_elementwise(entry: str, value: object) -> bool:
    """Momenta, and not the count of steps, of which there is one for all."""
    return isinstance(value, Tensor) and entry != "step"
