"""How many weights a sparsity leaves: exact, from the number as it was written. Free of torch."""

from __future__ import annotations

from fractions import Fraction

from lthsweep.errors import PruningError

__all__ = ["kept_count"]


def kept_count(total: int, sparsity: float) -> int:
    """The number of weights that remain of `total` at a sparsity.

    The sparsity is read as the decimal that prints it, so that 0.7 means 7/10 and not the binary number
    beside it: `total` minus `sparsity * total`, the latter rounded to the nearest integer, halves to the even
    one.

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
    # float() first: the repr of NumPy's floats is not a number's text.
    removed = round(Fraction(repr(float(sparsity))) * total)
    return max(1, total - removed)
