"""How many weights a sparsity keeps, in total and layer by layer: exact, from the number as it was written.

Layers can lose less than the others: Frankle & Carbin, ICLR 2019, arXiv:1803.03635, figure 2, remove 20 % of each
fully connected layer at every level, 10 % of the output layer, and 15 % of each convolution of Conv-6. Free of torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from fractions import Fraction

from lthsweep.errors import PruningError, nearest

__all__ = ["Rates", "kept_by_rates", "kept_count", "matches"]

Rates = tuple[tuple[str, float], ...]
"""(pattern, rate) pairs: the share of the other layers' rate at which matching layers are pruned."""


def kept_count(total: int, sparsity: float) -> int:
    """The number of weights that remain of `total` at a sparsity.

    The sparsity is read as the decimal number that prints it: 0.7 means 7/10 and not the nearest binary number. The
    result is `total` minus `sparsity * total`, the latter rounded to the nearest integer, halves to the even one.

    Args:
        total: all weights, pruned or not, at least 1. Sparsity is a share of all, never of the survivors.
        sparsity: in [0, 1).

    Returns:
        An integer from 1 to `total`: one weight always stays.

    Raises:
        PruningError: if there is no weight, or the sparsity is not in [0, 1).
    """
    if total < 1:
        raise PruningError(f"{total} weights cannot be pruned; check the exclusions and the layers' shapes")
    if not 0 <= sparsity < 1:
        raise PruningError(f"sparsity {sparsity} is not in [0, 1); it is the share of all weights to remove")
    # float() first: NumPy prints its floats with their type.
    removed = round(Fraction(repr(float(sparsity))) * total)
    return max(1, total - removed)


def kept_by_rates(
    sizes: Mapping[str, int], left: Mapping[str, int], sparsity: float, rates: Iterable[tuple[str, float]]
) -> dict[str, int]:
    """The number of weights that remain in each layer after this pruning.

    A layer that no pattern matches keeps `kept_count` of its weights. These layers together lose a share p of the
    weights they have left; a layer of rate f loses f · p of the weights *it* has left, rounded. With levels of 20 % and
    f = 0.5 the layer keeps 90 %, 81 %, 72.9 %, … of its weights.

    Args:
        sizes: parameter name → number of weights, in layer order.
        left: parameter name → number of weights that earlier levels left.
        sparsity: of every layer without a rate, in [0, 1).
        rates: patterns as in `prune.exclude`, and rates in (0, 1].

    Raises:
        PruningError: if a pattern matches no layer or two match the same one, every layer has a rate, so that nothing
            is pruned at the full one, or the sparsity is below the present one.
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


def matches(pattern: str, parameter: str) -> bool:
    """True if a pattern of `prune.exclude` or `prune.rates` matches a layer, its weight, or a module around it.

    Args:
        pattern: such as `fc3` or `classifier.*`; * and ? stand for any text and any one character.
        parameter: the weight's full name, such as "features.0.0.weight".
    """
    parts = parameter.split(".")
    return any(fnmatchcase(".".join(parts[:end]), pattern) for end in range(1, len(parts) + 1))


def _removed(left: int, rate: float, share: Fraction) -> int:
    return round(Fraction(repr(float(rate))) * share * left)
