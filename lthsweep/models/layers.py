"""The layers whose weights pruning covers, and a model's state with shared tensors once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

from torch import Tensor, nn

__all__ = ["ConvTransposed", "aliases", "load_state", "state_of", "transposed_groups", "weight_names"]

ConvTransposed = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d

_Filters = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear | ConvTransposed


def _recurrent(module: nn.Module) -> tuple[str, ...]:
    assert isinstance(module, nn.RNNBase)
    return tuple(name for name in module._flat_weights_names if name.startswith("weight"))


def _attention(module: nn.Module) -> tuple[str, ...]:
    """Without `out_proj`, which is a linear layer inside of the module."""
    assert isinstance(module, nn.MultiheadAttention)
    same = module._qkv_same_embed_dim
    return ("in_proj_weight",) if same else ("q_proj_weight", "k_proj_weight", "v_proj_weight")


_KINDS: tuple[tuple[type, Callable[[nn.Module], tuple[str, ...]]], ...] = (
    *((kind, lambda module: ("weight",)) for kind in _Filters.__args__),
    (nn.RNNBase, _recurrent),
    (nn.RNNCellBase, lambda module: ("weight_ih", "weight_hh")),
    (nn.MultiheadAttention, _attention),
)
"""Class of a layer → the names of its weights; its other parameters are biases."""


def weight_names(module: nn.Module) -> tuple[str, ...]:
    """The names of a layer's weights: convolutions, also transposed, linear, recurrent, attention; else empty.

    With a parametrization (`weight_norm`) or pruning of torch, a name can belong to a computed tensor.
    """
    return next((names(module) for kind, names in _KINDS if isinstance(module, kind)), ())


def transposed_groups(model: nn.Module) -> dict[str, int]:
    """Weight of each transposed convolution, (inputs, outputs per group, …) → its number of groups."""
    return {
        f"{name}.weight".lstrip("."): module.groups
        for name, module in model.named_modules()
        if isinstance(module, ConvTransposed)
    }


def aliases(model: nn.Module) -> dict[str, str]:
    """Further names of tensors in the `state_dict` → the first name, for shared weights and repeated modules."""
    first: dict[int, str] = {}
    return {
        name: first[id(tensor)]
        for name, tensor in model.state_dict(keep_vars=True).items()
        if first.setdefault(id(tensor), name) != name
    }


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """The `state_dict` with each shared tensor once, under its first name, as in `named_parameters`."""
    others = aliases(model)
    return {name: tensor for name, tensor in model.state_dict().items() if name not in others}


def load_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load what `state_of` returned."""
    shared = {name: state[first] for name, first in aliases(model).items() if first in state}
    complete = OrderedDict({**state, **shared})
    # Versions of the modules, from which some decide how they read a state; torch keeps them in this attribute.
    complete._metadata = model.state_dict()._metadata  # type: ignore[attr-defined]
    model.load_state_dict(complete)
