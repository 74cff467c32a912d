"""The network that a ticket trains: of full shape under its mask, or physically smaller without the pruned filters.

A filter ticket is trained small, so that its training is as fast as the small network allows. Results are converted
back to full shapes with zeros and masks, like those of any other ticket, so no other module knows the small network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lthsweep.lottery.context import TrainingContext
from lthsweep.models.layers import load_state
from lthsweep.pruning.apply import masked
from lthsweep.pruning.audit import optimizer_momenta
from lthsweep.pruning.channels import Kept, cut, expanded, kept_in
from lthsweep.pruning.coupling import Families, families_of
from lthsweep.pruning.filters import largest_filter
from lthsweep.pruning.masks import Masks
from lthsweep.pruning.registry import criterion_of
from lthsweep.pruning.shrink import without
from lthsweep.training.group_lasso import GroupLasso
from lthsweep.training.state import Training

__all__ = ["MaskedNetwork", "PrunedNetwork", "SmallNetwork", "clear_pruned", "pruned_network_of"]

Momenta = dict[str, tuple[Tensor, ...]]


@dataclass(frozen=True, eq=False)
class MaskedNetwork:
    """The network of full shape; pruned weights stay zero.

    Attributes:
        full: network of full shape.
        masks: masks of its prunable weights.
        context: of the run.
    """

    full: nn.Module
    masks: Masks
    context: TrainingContext

    @property
    def model(self) -> nn.Module:
        """The network to train."""
        return self.full

    @property
    def trained_masks(self) -> Masks:
        """The masks that training applies."""
        return self.masks

    def lasso(self) -> GroupLasso | None:
        """The penalty of the recipe over the filters."""
        return GroupLasso.of(self.full, self.context.input_shape, self.context.train.group_lasso, self.masks)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Load the weights of a full network, with zeros for pruned weights."""
        weights = {name: state[name].to(mask.device) for name, mask in self.masks.items()}
        load_state(self.full, {**state, **masked(weights, self.masks)})

    def narrowed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Convert optimizer state ("NAME:ENTRY") of the full network to the shapes of the trained one."""
        return dict(tensors)

    def momenta(self, training: Training, masks: Masks) -> Momenta:
        """The momenta of prunable weights in full shapes."""
        return optimizer_momenta(training.optimizer, _parameters(training, masks))

    def allowed_error(self, prunable: Mapping[str, Tensor]) -> int | None:
        """The number of weights by which the sparsity may be missed; None: it is exact."""
        return None

    def sync_full(self) -> None:
        """Copy the weights of `model` into `full`; here both are one network."""


@dataclass(frozen=True, eq=False)
class SmallNetwork:
    """The physically smaller network; `full` receives its weights by `sync_full`.

    Attributes:
        full: network of full shape.
        model: what is left of it, the network to train.
        families, kept: the channels that are left.
        context: of the run.
    """

    full: nn.Module
    model: nn.Module
    families: Families
    kept: Kept
    context: TrainingContext

    @property
    def trained_masks(self) -> Masks:
        """No masks: pruned weights do not exist."""
        return {}

    def lasso(self) -> GroupLasso | None:
        """The penalty of the recipe over the filters that are left."""
        strength = self.context.train.group_lasso
        return GroupLasso(self.model, self.families, strength, kept=self.kept) if strength else None

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Load the survivors among the weights of a full network."""
        self.model.load_state_dict(cut(state, self.families, self.kept))

    def narrowed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Convert optimizer state ("NAME:ENTRY") of the full network to the shapes of the trained one."""
        shapes = self._shapes()
        found = {}
        for joint, tensor in tensors.items():
            name = joint.partition(":")[0]
            is_momentum = tensor.shape == shapes.get(name)
            found[joint] = cut({name: tensor}, self.families, self.kept)[name] if is_momentum else tensor
        return found

    def momenta(self, training: Training, masks: Masks) -> Momenta:
        """The momenta of prunable weights in full shapes; zero where nothing is left."""
        found = optimizer_momenta(training.optimizer, _parameters(training, masks))
        return {
            name: tuple(
                expanded({name: moment}, self._shapes(), self.families, self.kept)[name] for moment in moments
            )
            for name, moments in found.items()
        }

    def allowed_error(self, prunable: Mapping[str, Tensor]) -> int | None:
        """Half of the largest filter: no choice of whole filters comes nearer to a sparsity."""
        return largest_filter(self.families, prunable) // 2

    def sync_full(self) -> None:
        """Copy the weights of `model` into `full`, with zeros for pruned channels.

        BatchNorm of a pruned channel has scale and shift 0 and returns zeros; its statistics are those of a fresh one.
        """
        variances = {name: 1.0 for name in self._shapes() if name.endswith("running_var")}
        self.full.load_state_dict(
            expanded(self.model.state_dict(), self._shapes(), self.families, self.kept, fill=variances)
        )

    def _shapes(self) -> dict[str, torch.Size]:
        return {name: tensor.shape for name, tensor in self.full.state_dict().items()}


PrunedNetwork = MaskedNetwork | SmallNetwork


def pruned_network_of(method: str, model: nn.Module, masks: Masks, context: TrainingContext) -> PrunedNetwork:
    """The network that a ticket of a pruning method trains.

    Args:
        method: method that made the masks.
        model: network of full shape.
        masks: masks of its prunable weights.
        context: of the run.

    Raises:
        PruningError: if the method prunes whole filters and the masks do not.
    """
    if not criterion_of(method).structured:
        return MaskedNetwork(model, masks, context)
    families = families_of(model, context.input_shape)
    kept = kept_in(families, masks)
    small = context.placed(without(model, families, kept, context.input_shape))
    return SmallNetwork(model, small, families, kept, context)


@torch.no_grad()
def clear_pruned(training: Training, masks: Masks) -> None:
    """Set pruned weights and their momenta to zero, whatever they were."""
    pruned = _parameters(training, masks)
    for name, moments in optimizer_momenta(training.optimizer, pruned).items():
        for value in (pruned[name], *moments):
            value.masked_fill_(~masks[name], 0.0)


def _parameters(training: Training, masks: Masks) -> dict[str, nn.Parameter]:
    parameters = dict(training.model.named_parameters())
    return {name: parameters[name] for name in masks}
