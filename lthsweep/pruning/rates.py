"""Layers that lose less than the others: Frankle & Carbin prune the output layer at half the rate. Free of torch.

Frankle & Carbin, ICLR 2019, arXiv:1803.03635, figure 2: 20 % of each fully connected layer go at every level, 10 % of
the output layer, and of Conv-6 15 % of each convolution.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

from lthsweep.errors import PruningError, nearest
from lthsweep.pruning.counts import kept_count
from lthsweep.pruning.patterns import matches

__all__ = ["Rates", "kept_by_rates"]

Rates = tuple[tuple[str, float], ...]
"""(pattern, rate) pairs: what share of the others' rate the matching layers are pruned at."""


def kept_by_rates(
    sizes: Mapping[str, int], left: Mapping[str, int], sparsity: float, rates: Iterable[tuple[str, float]]
) -> dict[str, int]:
    """How many weights remain in each layer after this pruning.

    A layer that no pattern names keeps what the sparsity says. These layers together lose a share p of what they have
    left; a layer of rate f loses f · p of what *it* has left, rounded. With levels of 20 % and f = 0.5 the layer keeps
    90 %, 81 %, 72.9 %, … of its weights.

    Args:
        sizes: parameter name → all its weights, in layer order.
        left: parameter name → those that earlier levels left.
        sparsity: of every layer without a rate, in [0, 1).
        rates: patterns as in `prune.exclude`, and rates in (0, 1].

    Raises:
        PruningError: if a pattern matches no layer or two match the same one, every layer has a rate, so that nothing
            is pruned at the full one, or the sparsity is below what is already pruned.
    """
    found: dict[str, float] = {}
    for pattern, rate in rates:
        matching = [name for name in sizes if matches(pattern, name)]
        if not matching:
            hint = nearest(pattern, [name.removesuffix(".weight") for name in sizes])
            raise PruningError(
                f"prune.rates: {pattern!r} matches no layer that is pruned"
                f"{f'; did you mean {hint!r}?' if hint else ';'} parameters: {', '.join(sizes)}"
            )
        for name in matching:
            if name in found:
                raise PruningError(f"prune.rates: two patterns match {name!r}; each layer has one rate")
            found[name] = rate
    others = [name for name in sizes if name not in found]
    if not others:
        raise PruningError("prune.rates names every layer; leave out those that are pruned at the full rate")
    keep = {name: kept_count(sizes[name], sparsity) for name in others}
    before, after = sum(left[name] for name in others), sum(keep.values())
    if after > before:
        raise PruningError(
            f"asked to keep {after} weights, but {before} are left; sparsities of a chain must rise"
        )
    share = 1 - Fraction(after, before)
    return {
        name: keep[name] if name in keep else max(1, left[name] - _removed(left[name], found[name], share))
        for name in sizes
    }


def _removed(left: int, rate: float, share: Fraction) -> int:
    return round(Fraction(repr(float(rate))) * share * left)
