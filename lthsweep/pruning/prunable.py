"""The parameters that can be pruned: weights of convolutions, linear, recurrent and attention layers; no biases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from lthsweep.errors import PruningError, nearest
from lthsweep.models.layers import weight_names
from lthsweep.pruning.counts import matches

__all__ = ["ParameterRow", "parameter_rows", "prunable_weights"]

_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)


@dataclass(frozen=True)
class ParameterRow:
    """One parameter of a model.

    Attributes:
        name: the first of its names ("features.0.0.weight"), under which masks, tables and weights have it.
        parameter: the parameter itself.
        kept_because: the reason why it is never pruned; "" if it is pruned.
        shared_with: its other names, if several layers share it.
    """

    name: str
    parameter: nn.Parameter
    kept_because: str = ""
    shared_with: tuple[str, ...] = ()


def parameter_rows(model: nn.Module, exclude: Iterable[str] = ()) -> list[ParameterRow]:
    """All parameters of a model, each once, in the order in which its modules were registered.

    Frankle & Carbin, ICLR 2019, arXiv:1803.03635, prune only weights of convolutions and linear layers; the matrices of
    recurrent and attention layers are linear layers, too.

    Args:
        model: any model; a weight that two layers share appears once, under its first name.
        exclude: glob patterns ("classifier.*", "fc3"). A pattern excludes a weight if it matches the name of
            the layer, of its weight, or of a module around it.

    Raises:
        PruningError: if a layer is empty, the weight of a layer is computed from other parameters and not excluded, or
            a pattern excludes nothing.
    """
    patterns = tuple(exclude)
    used: set[str] = set()
    layers: list[str] = []
    owners: dict[int, list[tuple[nn.Module, str, str]]] = {}
    for place, module in model.named_modules():
        layers += [place] if weight_names(module) else []
        for name, parameter in module._parameters.items():
            if parameter is not None:
                owners.setdefault(id(parameter), []).append((module, name, f"{place}.{name}".lstrip(".")))
        for name in weight_names(module):
            full = f"{place}.{name}".lstrip(".")
            if name not in module._parameters:
                used.update(_require_excluded(full, place, module, patterns))
    rows = []
    for name, parameter in model.named_parameters():
        mine = owners[id(parameter)]
        is_weight = any(slot in weight_names(module) for module, slot, _ in mine)
        matching = [pattern for pattern in patterns if any(matches(pattern, full) for *_, full in mine)]
        if is_weight:
            used.update(matching)
            _require_elements(name, parameter)
        others = tuple(full for *_, full in mine if full != name)
        rows.append(ParameterRow(name, parameter, _reason(mine, parameter, is_weight, matching), others))
    for pattern in patterns:
        if pattern not in used:
            hint = nearest(pattern, layers)
            raise PruningError(
                f"prune.exclude: {pattern!r} matches no convolution, linear, recurrent or attention layer"
                f"{f'; did you mean {hint!r}?' if hint else ''} layers: {', '.join(layers)}"
            )
    return rows


def prunable_weights(model: nn.Module, exclude: Iterable[str] = ()) -> dict[str, nn.Parameter]:
    """The prunable parameters of a model by name, in the order in which its modules were registered.

    Args:
        model: as for `parameter_rows`.
        exclude: as for `parameter_rows`.

    Returns:
        Parameter name ("features.0.0.weight") → the parameter itself.

    Raises:
        PruningError: as for `parameter_rows`, and if nothing is left to prune.
    """
    rows = parameter_rows(model, exclude)
    found = {row.name: row.parameter for row in rows if not row.kept_because}
    if not found:
        reasons = "; ".join(f"{row.name}: {row.kept_because}" for row in rows[:8])
        layers = sum(bool(weight_names(module)) for module in model.modules())
        raise PruningError(
            f"nothing is left to prune of {layers} layers; prune.exclude = {list(exclude)}; parameters that are not "
            f"pruned: {reasons or 'none'}"
        )
    return found


def _reason(
    owners: list[tuple[nn.Module, str, str]], parameter: nn.Parameter, is_weight: bool, matching: list[str]
) -> str:
    """Why a parameter is not pruned; "" if it is."""
    module, name, _ = owners[0]
    if is_weight:
        if any(isinstance(owner, _EMBEDDINGS) for owner, *_ in owners):
            return "shared with an embedding"
        if not parameter.requires_grad:
            return "frozen (requires_grad is False)"
        return f"prune.exclude has {matching[0]!r}" if matching else ""
    if isinstance(module, _EMBEDDINGS):
        return "embedding"
    if isinstance(module, _NORMS):
        return "normalization"
    if "bias" in name:
        return "bias"
    return f"not a weight of a layer ({type(module).__name__})"


def _require_elements(name: str, weight: nn.Parameter) -> None:
    if weight.numel() == 0:
        raise PruningError(
            f"the layer {name.rpartition('.')[0]!r} is empty: its weight has shape {tuple(weight.shape)}; check the "
            f"options of the network in [sweep.model]"
        )


def _require_excluded(name: str, layer: str, module: nn.Module, patterns: tuple[str, ...]) -> list[str]:
    matching = [pattern for pattern in patterns if matches(pattern, name)]
    if not matching:
        raise PruningError(
            f"the weight {name!r} of {type(module).__name__} is computed from other parameters "
            f"(weight_norm, spectral_norm or another parametrization), so a mask cannot hold its pruned values at "
            f"zero; remove the parametrization, or exclude the layer: prune.exclude = [{layer!r}]"
        )
    return matching
