"""Channels that can only be removed together: families of coupled layers, found by torch-pruning.

A feature map is made by one filter or, where a shortcut adds maps, by one filter of each layer that is added; BatchNorm
and depthwise filters belong to it as well. Input columns of the next layers read the map. torch-pruning follows the
network's graph (Fang et al., CVPR 2023, arXiv:2301.12900), so nothing here depends on an architecture.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lthsweep.errors import PruningError
from lthsweep.models.layers import aliases, weight_names
from lthsweep.models.shapes import InputShape, TextShape

if TYPE_CHECKING:
    import torch_pruning

__all__ = ["ChannelFamily", "ChannelSlice", "Families", "dependency_graph", "families_of"]


@dataclass(frozen=True, eq=False)
class ChannelSlice:
    """The indices of one tensor that belong to the channels of one family.

    Attributes:
        name: of the parameter or buffer, as in the `state_dict`.
        dim: the dimension of its channels.
        places: int64 [channels of the family, indices per channel]: indices along `dim`. One index each, except after
            flattening: then a channel has one column per pixel.
    """

    name: str
    dim: int
    places: Tensor


@dataclass(frozen=True, eq=False)
class ChannelFamily:
    """Layers whose output channels are coupled.

    Attributes:
        root: name of the module from which torch-pruning starts.
        width: number of channels.
        made_by: the slices that make the feature maps: rows of convolution and linear weights, depthwise filters,
            biases, scale, shift and statistics of BatchNorm. No tensor is in two families.
        read_by: input columns of the layers that read the maps.
    """

    root: str
    width: int
    made_by: tuple[ChannelSlice, ...]
    read_by: tuple[ChannelSlice, ...]

    @property
    def parts(self) -> tuple[ChannelSlice, ...]:
        """Everything that is removed with a channel."""
        return (*self.made_by, *self.read_by)


Families = tuple[ChannelFamily, ...]


def families_of(model: nn.Module, input_shape: InputShape, frozen: Iterable[str] = ()) -> Families:
    """The families whose channels can be removed, in the order of the model's modules.

    Excluded are the outputs of the network, which nothing reads, and families with a frozen weight. Input images are
    not a family: no filter makes them.

    Args:
        model: on any device; not changed.
        input_shape: (channels, height, width) of one image.
        frozen: names of weights that must keep their shape.

    Raises:
        PruningError: if torch-pruning is not installed, or the network couples channels in an unsupported way.
    """
    _require_plain_layers(model)
    trial = copy.deepcopy(model)
    graph = dependency_graph(trial, input_shape)
    names = {module: name for name, module in trial.named_modules()}
    order = {name: index for index, name in enumerate(names.values())}
    kept_whole = set(frozen)
    found = []
    for group in graph.get_all_groups(root_module_types=[nn.Conv2d, nn.Linear]):
        family = _family(group, names, order)
        if family.read_by and not kept_whole & {part.name for part in family.parts}:
            found.append(family)
    return tuple(sorted(found, key=lambda family: min(order[_module(part)] for part in family.made_by)))


def _require_plain_layers(model: nn.Module) -> None:
    """Only of these layers is it known which dimension holds the channels.

    Raises:
        PruningError: if the network has other weights, shares them, or normalizes over channels.
    """
    advice = 'use prune.method = "magnitude", and no train.group_lasso'
    for name, module in model.named_modules():
        if weight_names(module) and not isinstance(module, nn.Conv2d | nn.Linear):
            raise PruningError(
                f"whole filters can be removed from Conv2d and Linear layers, and {name!r} is a "
                f"{type(module).__name__}; {advice}"
            )
        if isinstance(module, nn.GroupNorm | nn.LayerNorm | nn.RMSNorm):
            raise PruningError(
                f"without whole filters, {name!r} would change the remaining ones: a {type(module).__name__} "
                f"normalizes over channels; {advice}"
            )
    for other, first in aliases(model).items():
        raise PruningError(
            f"whole filters cannot be removed where {other!r} and {first!r} are shared; {advice}"
        )


def dependency_graph(model: nn.Module, input_shape: InputShape) -> torch_pruning.DependencyGraph:
    """The dependency graph of a model, by torch-pruning; puts the model into evaluation mode.

    Raises:
        PruningError: if torch-pruning is not installed.
    """
    try:
        import torch_pruning
    except ImportError as error:
        raise PruningError(
            f'whole filters (prune.method = "filter", train.group_lasso) need the package torch-pruning ({error}); '
            f"install it: pip install torch-pruning"
        ) from error
    if isinstance(input_shape, TextShape):
        raise PruningError(
            'whole filters (prune.method = "filter", train.group_lasso) exist only in networks for images and '
            "sounds, and this network reads texts; use another method, and no group lasso"
        )
    like = next(model.parameters())
    example = torch.zeros((1, *input_shape), device=like.device, dtype=like.dtype)
    with torch.enable_grad():
        return torch_pruning.DependencyGraph().build_dependency(model, example, verbose=False)


def _family(group: torch_pruning.Group, names: dict[nn.Module, str], order: dict[str, int]) -> ChannelFamily:
    made, read = {}, {}
    width = len(group[0].idxs)
    for item in group:
        module = item.dep.target.module
        if module not in names:  # an operation without weights
            continue
        places = _places(item.idxs, item.root_idxs, width, names[module])
        depthwise = isinstance(module, nn.Conv2d) and module.groups > 1
        if depthwise and module.groups != module.out_channels:
            raise PruningError(
                f"layer {names[module]!r} has {module.groups} groups and {module.out_channels} channels; whole filters "
                f"of grouped convolutions can be removed only if every group has one channel (depthwise)"
            )
        reads = "prune_in_channels" in item.dep.handler.__name__ and not depthwise
        if reads and isinstance(module, nn.Conv2d | nn.Linear):
            read[names[module]] = ChannelSlice(f"{names[module]}.weight", 1, places)
            continue
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            if tensor.dim():  # skips BatchNorm's number of batches
                made[f"{names[module]}.{name}"] = ChannelSlice(f"{names[module]}.{name}", 0, places)
    by_module = sorted(made.values(), key=lambda part: order[_module(part)])
    return ChannelFamily(
        root=names[group[0].dep.target.module],
        width=width,
        made_by=tuple(by_module),
        read_by=tuple(read[name] for name in sorted(read, key=order.__getitem__)),
    )


def _places(places: Sequence[int], roots: Sequence[int], width: int, layer: str) -> Tensor:
    """The indices of a layer by channel of the family."""
    owned: list[list[int]] = [[] for _ in range(width)]
    for place, root in zip(places, roots, strict=True):
        owned[root].append(place)
    if len({len(own) for own in owned}) != 1 or not owned[0]:
        raise PruningError(
            f"the channels that meet in layer {layer!r} share it unevenly, so its filters cannot be separated; "
            f'use prune.method = "magnitude"'
        )
    return torch.tensor([sorted(own) for own in owned])


def _module(part: ChannelSlice) -> str:
    return part.name.rpartition(".")[0]
