"""The smaller network without the channels that the masks remove."""

from __future__ import annotations

import copy

import torch
from torch import nn

from lthsweep.errors import PruningError
from lthsweep.models.shapes import InputShape
from lthsweep.pruning.channels import Kept, cut, kept_in
from lthsweep.pruning.coupling import Families, dependency_graph, families_of
from lthsweep.pruning.masks import Weights

__all__ = ["shrink", "without"]


def shrink(model: nn.Module, masks: Weights, input_shape: InputShape) -> nn.Module:
    """A smaller network with the same outputs, for masks that remove whole filters.

    The outputs are the same if biases and BatchNorm of removed channels are zero in `model`, as in the final weights of
    a filter ticket.

    Args:
        model: of full shape; not changed.
        masks: parameter name → bool tensor, such as those of a record.
        input_shape: (channels, height, width) of one image.

    Returns:
        A new network with the surviving weights, on the model's device and in its mode.

    Raises:
        PruningError: if the masks do not remove whole filters, or torch-pruning is not installed.
    """
    families = families_of(model, input_shape)
    return without(model, families, kept_in(families, masks), input_shape)


def without(model: nn.Module, families: Families, kept: Kept, input_shape: InputShape) -> nn.Module:
    """The network without the channels that are not kept; see `shrink`.

    Raises:
        PruningError: if a family would lose its last channel.
    """
    small = copy.deepcopy(model)
    # without gradients: torch-pruning would prune them, too
    small.zero_grad(set_to_none=True)
    modes = {name: module.training for name, module in small.named_modules()}
    graph = dependency_graph(small, input_shape)
    modules = dict(small.named_modules())
    for family, alive in zip(families, kept, strict=True):
        gone = (~alive).nonzero().flatten().tolist()
        if len(gone) == family.width:
            raise PruningError(f"layer {family.root!r} would lose all {family.width} channels; keep one")
        if gone:
            root = modules[family.root]
            graph.get_pruning_group(root, graph.get_pruner_of_module(root).prune_out_channels, gone).prune()
    for name, module in small.named_modules():
        module.training = modes[name]
    _check(small, cut(model.state_dict(), families, kept))
    return small


def _check(small: nn.Module, expected: dict[str, torch.Tensor]) -> None:
    """Compare the weights from torch-pruning with those from the masks; they must be equal."""
    for name, tensor in small.state_dict().items():
        if not torch.equal(tensor, expected[name]) and not bool(torch.isnan(tensor).any()):
            raise PruningError(
                f"torch-pruning leaves other weights of {name!r} ({tuple(tensor.shape)}) than the masks "
                f"({tuple(expected[name].shape)}); this is an error of lthsweep or of the installed version of "
                f"torch-pruning; report it with the network"
            )
