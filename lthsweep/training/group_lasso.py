"""Group lasso over filters: the penalty λ Σ_g √|g| ‖w_g‖₂, as a proximal step after each optimizer step.

Yuan & Lin, J. R. Stat. Soc. B 68 (2006), equation 2.1; over the filters of a network Wen et al., NeurIPS 2016,
arXiv:1608.03665, equation 4. A group consists of all weights that make one feature map: rows of the layers that a
shortcut couples, their biases, depthwise filters, scale and shift of BatchNorm. Groups share no weight, so the proximal
operator is exact:

    w_g ← w_g · max(0, 1 − t / ‖w_g‖₂),    t = learning rate · λ · √|g|

The norm of a group falls by exactly min(‖w_g‖₂, t), and a group at zero makes a map of zeros, so removing it changes
nothing. A subgradient would oscillate around zero, and the squared norm that some libraries call group lasso shrinks
weights by a factor and brings none to zero. With Adam the step uses the Euclidean metric as well, as weight decay of
AdamW does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lthsweep.errors import PruningError
from lthsweep.models.shapes import InputShape
from lthsweep.pruning.channels import Kept
from lthsweep.pruning.coupling import Families, families_of

__all__ = ["GroupLasso", "soft_threshold"]


class GroupLasso:
    """The proximal step over the filters of one model.

    Args:
        model: its parameters are shrunk in place.
        families: of the full network.
        strength: λ > 0.
        kept: the channels of a physically smaller model; None for the full network.
        masks: parameter name → bool tensor of a masked model: |g| counts kept weights, so that a masked network and
            the physically smaller one have the same penalty.
    """

    def __init__(
        self,
        model: nn.Module,
        families: Families,
        strength: float,
        *,
        kept: Kept | None = None,
        masks: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._strength = strength
        parameters = dict(model.named_parameters())
        self._families: list[tuple[list[Tensor], Tensor]] = []
        for index, family in enumerate(families):
            width = family.width if kept is None else int(kept[index].sum())
            members: list[Tensor] = []
            sizes = torch.zeros(width)
            for part in family.made_by:
                if part.name not in parameters:
                    continue  # statistics of BatchNorm
                if not torch.equal(part.places.flatten(), torch.arange(family.width)):
                    raise PruningError(
                        f"{part.name!r} does not have one row per channel; train.group_lasso cannot group this network"
                    )
                parameter = parameters[part.name]
                members.append(parameter)
                there = (masks or {}).get(part.name)
                sizes += parameter[0].numel() if there is None else there.flatten(1).sum(1).cpu()
            self._families.append((members, sizes.sqrt().to(members[0].device)))

    @classmethod
    def of(
        cls,
        model: nn.Module,
        input_shape: InputShape,
        strength: float,
        masks: Mapping[str, Tensor] | None = None,
    ) -> GroupLasso | None:
        """The penalty of a full network, masked or not; None for λ = 0."""
        return cls(model, families_of(model, input_shape), strength, masks=masks) if strength else None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Shrink every group after an optimizer step at this learning rate."""
        for members, root_sizes in self._families:
            soft_threshold(members, rate * self._strength * root_sizes)

    @torch.no_grad()
    def penalty(self) -> float:
        """The current value of λ Σ_g √|g| ‖w_g‖₂."""
        terms = (float((root * _norms(members)).sum()) for members, root in self._families)
        return self._strength * math.fsum(terms)


@torch.no_grad()
def soft_threshold(members: Sequence[Tensor], threshold: Tensor) -> None:
    """Reduce the joint norm of the i-th rows of some tensors by `threshold[i]`, at most to zero, in place.

    Args:
        members: tensors of equal first dimension; a group consists of the i-th row of each.
        threshold: one dimension, ≥ 0.
    """
    # Clamped against 0/0 in a group that is zero already; it stays zero.
    factors = (1 - threshold / _norms(members).clamp(min=torch.finfo(threshold.dtype).tiny)).clamp(min=0)
    for member in members:
        member.mul_(factors.view(-1, *[1] * (member.dim() - 1)))


def _norms(members: Sequence[Tensor]) -> Tensor:
    squares = [
        member.square().flatten(1).sum(1) if member.dim() > 1 else member.square() for member in members
    ]
    return torch.stack(squares).sum(0).sqrt()
