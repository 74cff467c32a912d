"""All pruning criteria by name, with what each needs and allows. Free of torch.

An entry is the whole extension: the values of `prune.method`, its description, the error texts, the compatibility rules
of the file, and the reference page are generated from it. See docs/extending.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from lthsweep.errors import UnknownNameError

__all__ = ["CRITERIA", "Criterion", "criterion_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """What a pruning criterion needs and allows.

    Attributes:
        scores: "module:function" of (ScoringContext) → scores by parameter name; the highest scores stay. A structured
            criterion returns one score per channel, by the root of its family.
        summary: completes "`name` …" in the reference; one clause that starts with a verb.
        at_initialization: scores the network before training. Such a criterion prunes once: it has no chains.
        structured: removes whole filters, so the network becomes physically smaller.
        supports_threshold: its scores are the magnitudes of the weights, so an absolute threshold can cut them.
        rounds: number of steps in which the mask is made; scores are computed again before each.
        undefined_for: pattern of network names (`text_*`) → the reason that completes "is not defined for NAME: …".
    """

    scores: str
    summary: str
    at_initialization: bool = False
    structured: bool = False
    supports_threshold: bool = False
    rounds: int = 1
    undefined_for: Mapping[str, str] = field(default_factory=dict)

    @property
    def supports_chains(self) -> bool:
        """True if a later level can rank again: initial weights would give every level the same ranking."""
        return not self.at_initialization

    @property
    def supports_budget(self) -> bool:
        """True if it works with `prune.schedule = "budget"`, which trains a masked network along a chain."""
        return self.supports_chains and not self.structured

    @property
    def supports_rates(self) -> bool:
        """True if `prune.rates` can give layers rates of their own: single weights of the trained network."""
        return self.supports_chains and not self.structured

    @property
    def supports_shuffling(self) -> bool:
        """True if its mask can be shuffled for a control: shuffled positions are not whole filters."""
        return not self.structured

    def reason_against(self, network: str) -> str | None:
        """Why the criterion is not defined for a network; None if it is.

        Args:
            network: value of `sweep.model.name`.
        """
        matching = (reason for pattern, reason in self.undefined_for.items() if fnmatchcase(network, pattern))
        return next(matching, None)


CRITERIA: Mapping[str, Criterion] = {
    "magnitude": Criterion(
        scores="lthsweep.pruning.criteria.magnitude:magnitude_scores",
        summary="removes the smallest weights of the trained network",
        supports_threshold=True,
    ),
    "random": Criterion(
        scores="lthsweep.pruning.criteria.random:random_scores",
        summary="removes weights at random",
    ),
    "snip": Criterion(
        scores="lthsweep.pruning.criteria.snip:snip_scores",
        summary="removes, before training, the weights with the least effect on the loss",
        at_initialization=True,
    ),
    "synflow": Criterion(
        scores="lthsweep.pruning.criteria.synflow:synflow_scores",
        summary="removes, before training and in 100 rounds, the weights that carry the least flow",
        at_initialization=True,
        rounds=100,
        undefined_for={"text_transformer": "its LayerNorm subtracts the mean, so no flow passes"},
    ),
    "filter": Criterion(
        scores="lthsweep.pruning.criteria.filter:filter_scores",
        summary="removes the weakest whole filters, so the network becomes smaller",
        structured=True,
        undefined_for={"text_*": "only networks for images and sounds have filters to remove"},
    ),
}
"""Value of `prune.method` → its criterion."""


def criterion_of(method: str) -> Criterion:
    """The entry of a pruning method.

    Raises:
        UnknownNameError: if the registry has no such name.
    """
    if method not in CRITERIA:
        raise UnknownNameError.of("pruning method", method, known=CRITERIA)
    return CRITERIA[method]
