"""The names of pruning methods and scopes, and where each lives. Free of torch.

A method says what each weight is worth, a scope says among which weights the worth is compared. They combine
freely.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["AT_INITIALIZATION", "METHODS", "SCOPES", "WHOLE_FILTERS", "Criterion"]


@dataclass(frozen=True, slots=True)
class Criterion:
    """A method that looks at the network as it was initialized, and at no trained weight.

    Attributes:
        scores: "module:function" of (model, names of the prunable weights, batch) → scores; the highest stay.
        rounds: in so many steps the mask is made; scores are taken anew before each.
    """

    scores: str
    rounds: int = 1


METHODS: Mapping[str, str] = {
    "magnitude": "lthsweep.pruning.magnitude:magnitude_scores",
    "random": "lthsweep.pruning.random_mask:random_scores",
}
"""Method → "module:function" of (weights, seed) → scores; the highest scores stay."""

AT_INITIALIZATION: Mapping[str, Criterion] = {
    "snip": Criterion("lthsweep.pruning.snip:snip_scores"),
    "synflow": Criterion("lthsweep.pruning.synflow:synflow_scores", rounds=100),
}
"""The other methods: those that prune before training."""

WHOLE_FILTERS: Mapping[str, str] = {
    "filter": "lthsweep.pruning.filters:filter_masks",
}
"""Those that remove feature maps, so that the network shrinks: they look at all parameters and at their coupling."""

SCOPES: Mapping[str, str] = {
    "global": "lthsweep.pruning.scopes:select_global",
    "layer": "lthsweep.pruning.scopes:select_per_layer",
}
"""Scope → "module:function" of (scores, masks, sparsity) → masks."""
