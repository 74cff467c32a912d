"""The axes of a table of tickets: their values in order, and short labels that stay distinct.

Values are integers, floats or text ("500it", "0.5"), depending on the file that they were read from. Each value has one
canonical text; two values are equal if their texts are.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import pandas as pd

from lthsweep.reduce.axis_order import axis_place

__all__ = ["Axes", "FrameRow", "as_written", "canonical", "labels", "ordered", "spread_pick"]

FrameRow: TypeAlias = Mapping[Hashable, Any]
"""A row of a frame as a mapping; pandas does not know the types of its cells."""


@dataclass(frozen=True)
class Axes:
    """The axes of a table of tickets, without the seeds.

    Attributes:
        cut: "threshold" if that column has values, else "sparsity".
        further: the dotted axes, in the order of the columns.
    """

    cut: str
    further: tuple[str, ...]

    @classmethod
    def of(cls, tickets: pd.DataFrame) -> Axes:
        """The axes that the columns name."""
        thresholds = "threshold" in tickets and (
            "sparsity" not in tickets or bool(tickets["threshold"].notna().any())
        )
        return cls(
            cut="threshold" if thresholds else "sparsity",
            further=tuple(str(name) for name in tickets.columns if "." in str(name)),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """All axes: the cut, the rewind epoch, the further ones."""
        return (self.cut, "rewind_epoch", *self.further)

    def normalize(self, frame: pd.DataFrame) -> pd.DataFrame:
        """A copy of `frame` with canonical texts in the columns of the axes, "" for a missing column.

        The rewind epoch is as in the file, which can mix epochs and iterations.
        """
        frame = as_written(frame)
        texts = {name: [canonical(v) for v in frame[name]] if name in frame else "" for name in self.names}
        return frame.assign(**texts).reset_index(drop=True)

    def combinations(self, tickets: pd.DataFrame) -> list[tuple[str, ...]]:
        """The values of the further axes that occur together, in row order; [()] without such axes."""
        if not self.further:
            return [()]
        rows = self.normalize(tickets)[list(self.further)]
        return list(dict.fromkeys(rows.itertuples(index=False, name=None)))


def as_written(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy of a frame with the text of the file in the column of the rewind epoch, if it has this text."""
    return frame.assign(rewind_epoch=frame["rewind_point"]) if "rewind_point" in frame else frame


def canonical(value: object) -> str:
    """One text per value: 1, 1.0 and "1" give "1"; None and NaN give ""."""
    if isinstance(value, str):
        # XML, and so SVG, has no control characters.
        text = "".join(c if c.isprintable() else "\ufffd" for c in value.strip())
    elif isinstance(value, bool):
        return str(value).lower()
    elif value is None or value is pd.NA or value != value:
        return ""
    else:
        text = str(value)
    try:
        number = float(text)
    except ValueError:
        return text
    return f"{number:.12g}" if math.isfinite(number) else ""


def ordered(values: Iterable[str], steps_per_epoch: float = math.nan) -> list[str]:
    """Distinct canonical values: numbers ascending, then other text.

    Args:
        values: canonical texts; "" (no value) is dropped.
        steps_per_epoch: places "500it" among the epochs; if NaN, iterations follow the epochs.
    """
    return sorted(
        {value for value in values if value}, key=partial(axis_place, steps_per_epoch=steps_per_epoch)
    )


def labels(values: Iterable[str]) -> dict[str, str]:
    """Canonical value → label: numbers with the fewest digits (at least four) that keep all distinct.

    No label is a whole number unless its value is: a sparsity of 0.999999 is not 1.
    """
    distinct = list(dict.fromkeys(values))
    for digits in range(4, 12):
        short = {value: _cut_short(value, digits) for value in distinct}
        rounded = any(_is_whole(text) and not _is_whole(value) for value, text in short.items())
        if len(set(short.values())) == len(distinct) and not rounded:
            return short
    return {value: value for value in distinct}


def spread_pick(values: list[str], limit: int) -> list[str]:
    """At most `limit` of `values`, evenly spread, always with the first and the last."""
    if len(values) <= limit:
        return values
    if limit == 1:
        return values[-1:]
    return [values[round(i * (len(values) - 1) / (limit - 1))] for i in range(limit)]


def _is_whole(text: str) -> bool:
    try:
        return float(text).is_integer()
    except (ValueError, OverflowError):
        return False


def _cut_short(text: str, digits: int) -> str:
    try:
        return f"{float(text):.{digits}g}"
    except ValueError:
        return text
