"""The parameters that can be pruned: weights of convolutions and linear layers; no BatchNorm, no biases."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from lthsweep.errors import PruningError, nearest
from lthsweep.pruning.counts import matches

__all__ = ["prunable_weights"]


def prunable_weights(model: nn.Module, exclude: Iterable[str] = ()) -> dict[str, nn.Parameter]:
    """The prunable parameters of a model by name, in the order in which its modules were registered.

    Frankle & Carbin, ICLR 2019, arXiv:1803.03635, prune only these weights.

    Args:
        model: any model; a weight that two layers share appears once, under its first name.
        exclude: glob patterns ("classifier.*", "fc3"). A pattern excludes a layer if it matches the name of
            the layer, of its weight, or of a module around it.

    Returns:
        Parameter name ("features.0.0.weight") → the parameter itself.

    Raises:
        PruningError: if a layer is empty, a pattern excludes nothing, or nothing is left to prune.
    """
    patterns = tuple(exclude)
    used: set[str] = set()
    seen: set[int] = set()
    found: dict[str, nn.Parameter] = {}
    layers: list[str] = []
    for name, module in model.named_modules():
        if not isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
            continue
        weight = module.weight
        if not isinstance(weight, nn.Parameter) or id(weight) in seen:
            continue
        seen.add(id(weight))
        layers.append(name)
        parameter = f"{name}.weight" if name else "weight"
        if weight.numel() == 0:
            raise PruningError(
                f"the layer {name!r} is empty: its weight has shape {tuple(weight.shape)}; check the options of the "
                f"network in [sweep.model]"
            )
        matching = [pattern for pattern in patterns if matches(pattern, parameter)]
        used.update(matching)
        if not matching:
            found[parameter] = weight
    for pattern in patterns:
        if pattern not in used:
            hint = nearest(pattern, layers)
            raise PruningError(
                f"prune.exclude: {pattern!r} matches no convolution or linear layer"
                f"{f'; did you mean {hint!r}?' if hint else ''} layers: {', '.join(layers)}"
            )
    if not found:
        raise PruningError(
            f"nothing is left to prune of {len(layers)} layers; prune.exclude = {list(patterns)}"
        )
    return found
