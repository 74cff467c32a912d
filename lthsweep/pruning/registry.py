"""The names of pruning methods and scopes, and where each lives. Free of torch.

A method says what each weight is worth, a scope says among which weights the worth is compared. They combine
freely.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["METHODS", "SCOPES"]

METHODS: Mapping[str, str] = {
    "magnitude": "lthsweep.pruning.magnitude:magnitude_scores",
    "random": "lthsweep.pruning.random_mask:random_scores",
}
"""Method → "module:function" of (weights, seed) → scores; the highest scores stay."""

SCOPES: Mapping[str, str] = {
    "global": "lthsweep.pruning.scopes:select_global",
    "layer": "lthsweep.pruning.scopes:select_per_layer",
}
"""Scope → "module:function" of (scores, masks, sparsity) → masks."""
