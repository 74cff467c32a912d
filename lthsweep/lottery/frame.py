"""What a ticket trains: the network of full shape under its mask, or the small one that whole filters leave.

A filter ticket is trained as small as it is, so that training takes the time that it takes. Whatever looks at tickets
later sees full shapes with zeros and masks, as of any other: nothing after this knows that there was a smaller network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lthsweep.lottery.material import Material
from lthsweep.pruning.apply import masked
from lthsweep.pruning.channels import Kept, cut, expanded, kept_in
from lthsweep.pruning.coupling import Families, families_of
from lthsweep.pruning.masks import Masks
from lthsweep.pruning.registry import criterion_of
from lthsweep.pruning.shrink import without
from lthsweep.training.group_lasso import GroupLasso

__all__ = ["Frame", "Masked", "Shrunk", "frame_of"]


@dataclass(frozen=True, eq=False)
class Masked:
    """The network of full shape; pruned weights are held at zero.

    Attributes:
        full: of full shape.
        masks: of its prunable weights.
        material: of the run.
    """

    full: nn.Module
    masks: Masks
    material: Material

    @property
    def model(self) -> nn.Module:
        """What is trained."""
        return self.full

    @property
    def held(self) -> Masks:
        """Masks that training must hold."""
        return self.masks

    def lasso(self) -> GroupLasso | None:
        """The recipe's penalty over the filters."""
        return GroupLasso.of(self.full, self.material.input_shape, self.material.group_lasso, self.masks)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of a full network, what is pruned at zero."""
        weights = {name: state[name].to(mask.device) for name, mask in self.masks.items()}
        self.full.load_state_dict({**state, **masked(weights, self.masks)})

    def narrowed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of the full network's parameters, such as momenta ("NAME:ENTRY"), in the trained one's shapes."""
        return dict(tensors)

    def widened(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The reverse; zero where nothing is left."""
        return dict(tensors)

    def finish(self) -> None:
        """Bring the trained weights into `full`."""


@dataclass(frozen=True, eq=False)
class Shrunk:
    """The small network; `full` waits for its weights.

    Attributes:
        full: of full shape.
        model: what is left of it, and is trained.
        families, kept: which channels are left.
        material: of the run.
    """

    full: nn.Module
    model: nn.Module
    families: Families
    kept: Kept
    material: Material

    @property
    def held(self) -> Masks:
        """None: what was pruned is not there."""
        return {}

    def lasso(self) -> GroupLasso | None:
        """The recipe's penalty over the filters that are left."""
        strength = self.material.group_lasso
        return GroupLasso(self.model, self.families, strength, kept=self.kept) if strength else None

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take the survivors among the weights of a full network."""
        self.model.load_state_dict(cut(state, self.families, self.kept))

    def narrowed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of the full network's parameters, such as momenta ("NAME:ENTRY"), in the trained one's shapes."""
        return {
            joint: cut({_name(joint): tensor}, self.families, self.kept)[_name(joint)]
            if tensor.shape == self._shapes().get(_name(joint))
            else tensor
            for joint, tensor in tensors.items()
        }

    def widened(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The reverse; zero where nothing is left."""
        return expanded(tensors, self._shapes(), self.families, self.kept)

    def finish(self) -> None:
        """Bring the trained weights into `full`, zero where a channel is gone.

        BatchNorm of such a channel has scale and shift 0 and passes zeros on; its statistics are those of a fresh one.
        """
        variances = {name: 1.0 for name in self._shapes() if name.endswith("running_var")}
        self.full.load_state_dict(
            expanded(self.model.state_dict(), self._shapes(), self.families, self.kept, fill=variances)
        )

    def _shapes(self) -> dict[str, torch.Size]:
        return {name: tensor.shape for name, tensor in self.full.state_dict().items()}


Frame = Masked | Shrunk


def frame_of(method: str, model: nn.Module, masks: Masks, material: Material) -> Frame:
    """What the ticket of a method trains.

    Args:
        method: how the masks were made.
        model: of full shape.
        masks: of its prunable weights.
        material: of the run.

    Raises:
        PruningError: if the method takes whole filters and the masks do not.
    """
    if not criterion_of(method).structured:
        return Masked(model, masks, material)
    families = families_of(model, material.input_shape)
    kept = kept_in(families, masks)
    small = material.placed(without(model, families, kept, material.input_shape))
    return Shrunk(model, small, families, kept, material)


def _name(joint: str) -> str:
    return joint.partition(":")[0]
