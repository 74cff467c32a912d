"""The point of the dense trajectory to which surviving weights return."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from lthsweep.errors import SpecError

__all__ = ["RewindPoint"]

_ITERATIONS = re.compile(r"([0-9]+)it")


@dataclass(frozen=True, slots=True)
class RewindPoint:
    """A point in training since initialization, in the unit in which the user wrote it.

    Late rewinding is given in epochs by most of the literature and in iterations where it matters most, early
    in training (Frankle et al. 2020, arXiv:1912.05671, section 4). Both are kept as written: an epoch is a
    different number of iterations at another batch size.

    Attributes:
        value: epochs (may be a fraction) or iterations, not negative.
        in_iterations: the unit.
    """

    value: int | float
    in_iterations: bool = False

    @classmethod
    def parse(cls, written: int | float | str) -> RewindPoint:
        """Read `2`, `0.5` or `"500it"`; zero is initialization in either unit.

        Raises:
            SpecError: if it is none of these or negative.
        """
        if isinstance(written, str):
            found = _ITERATIONS.fullmatch(written)
            if not found:
                raise SpecError(f"rewind point {written!r}: write epochs as 2 or 0.5, iterations as '500it'")
            return cls(int(found[1]), in_iterations=int(found[1]) > 0)
        if isinstance(written, bool) or not 0 <= written < math.inf:
            raise SpecError(f"rewind point {written!r} is negative or no number; use 0 for initialization")
        return cls(written)

    @property
    def at_initialization(self) -> bool:
        """Whether this is k = 0, where a matching ticket is a winning ticket."""
        return self.value == 0

    def step(self, steps_per_epoch: int) -> int:
        """The nearest optimizer step."""
        return int(self.value) if self.in_iterations else round(self.value * steps_per_epoch)

    def epochs(self, steps_per_epoch: int | None) -> float:
        """The point in epochs; 0 where it is in iterations and the length of an epoch is not known."""
        if not self.in_iterations:
            return self.value
        return self.value / steps_per_epoch if steps_per_epoch else 0.0

    def __str__(self) -> str:
        """As a user would write it."""
        if self.in_iterations:
            return f"{int(self.value)}it"
        return f"{self.value:g}"
