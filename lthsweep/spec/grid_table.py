"""`[grid]`: every list is an axis, and the grid is their product."""

from __future__ import annotations

import contextlib
import itertools
import math
import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PlainValidator, model_validator
from pydantic_core import PydanticCustomError

from lthsweep.errors import CodeError
from lthsweep.spec.fields import Allowed, FileTable, Number, Whole
from lthsweep.spec.text_forms import in_seconds, inline
from lthsweep.usercode import is_code, pinned

__all__ = [
    "AxisValue",
    "GridSpec",
    "LevelsSpec",
    "axis_name",
    "flatten_axes",
    "iterations_of",
    "round_sparsities",
]

AxisValue = bool | int | float | str
"""One value of an axis, as written."""

_ITERATIONS = re.compile(r"(0|[1-9][0-9]*)it")
_ROOTS = ("sweep", "model", "data", "train", "prune")
_SHORT = {  # axes that many sweeps have may be written without their table
    "control": "prune.control",
    "rounds": "prune.rounds",
    "time": "prune.time",
}
_DIGITS = 12  # 1 - 0.8**1 is 0.19999999999999996; the file's reader means 0.2


class LevelsSpec(FileTable):
    """`sparsity = { levels = 12, rate = 0.2 }`: each level removes the same share of the remaining weights."""

    levels: Whole = Field(ge=1, le=1000, description="Number of levels.")
    rate: Number = Field(gt=0, lt=1, description="Share of the remaining weights that each level removes.")

    def sparsities(self) -> list[float]:
        """1 − (1 − rate)^n for n = 1 … levels, rounded to 12 digits."""
        return [round(1 - (1 - self.rate) ** level, _DIGITS) for level in range(1, self.levels + 1)]


def round_sparsities(sparsity: float, rounds: int) -> tuple[float, ...]:
    """The levels of a chain that reaches `sparsity` in `rounds`, each of which removes the same share of the
    remaining weights.

    After round i it is 1 − (1 − sparsity)^(i / rounds), rounded to 12 digits; the last is `sparsity` as given. So level
    i is the end of a chain of i rounds, in any chain.

    Raises:
        ValueError: if the rounds are so many, or the sparsity so small, that 12 digits do not tell the levels apart.
    """
    between = (round(1 - (1 - sparsity) ** (i / rounds), _DIGITS) for i in range(1, rounds))
    levels = (*between, sparsity)
    if any(later <= earlier for earlier, later in itertools.pairwise((0.0, *levels))):
        raise ValueError(f"{rounds} rounds to a sparsity of {sparsity:g} are less than 1e-12 apart")
    return levels


def iterations_of(written: AxisValue) -> int | None:
    """500 for `"500it"`, None for a rewind epoch that is written in epochs."""
    found = _ITERATIONS.fullmatch(written) if isinstance(written, str) else None
    return int(found[1]) if found else None


def axis_name(written: str) -> str:
    """The one name of an axis: `model.width` for `sweep.model.width`, `prune.time` for `time`; others stay."""
    dotted = _SHORT.get(written, written)
    return dotted.removeprefix("sweep.") if dotted.startswith(("sweep.model.", "sweep.data.")) else dotted


def flatten_axes(raw: Mapping[str, object]) -> dict[str, object]:
    """Dotted axes under one name each, whether the file has them as `"model.init"` or, unquoted, as tables.

    Raises:
        PydanticCustomError: if that makes two axes one.
    """
    flat: dict[str, object] = {}
    written: dict[str, str] = {}
    for name, value in raw.items():
        nested = isinstance(value, Mapping) and name in _ROOTS
        for dotted, axis in _leaves(name, value) if nested else [(name, value)]:
            one = axis_name(dotted)
            if one in flat:
                path = dotted.split(".") if nested else [dotted]
                places = {"axis": one, "first": written[one], "path": path}
                raise PydanticCustomError(
                    "same_axis", "the axis {axis} is there already, as `{first}`; keep one of them", places
                )
            written[one] = dotted
            flat[one] = [_pinned(item) for item in axis] if isinstance(axis, list | tuple) else axis
    return flat


def _pinned(value: object) -> object:
    """Code of the user with the hash of its source; code that is not found is reported where it is used."""
    if isinstance(value, str) and is_code(value):
        with contextlib.suppress(CodeError):
            return pinned(value)
    return value


def _leaves(name: str, value: object) -> list[tuple[str, object]]:
    if not isinstance(value, Mapping):
        return [(name, value)]
    return [leaf for key, item in value.items() for leaf in _leaves(f"{name}.{key}", item)]


def _expand(raw: object) -> object:
    if not isinstance(raw, dict):
        return raw
    sparsities = LevelsSpec.model_validate(raw).sparsities()
    if sparsities[-1] >= 1:
        kept = sum(sparsity < 1 for sparsity in sparsities)
        raise PydanticCustomError("too_many_levels", "nothing remains after {kept} levels", {"kept": kept})
    return sparsities


def _axis_value(value: object) -> AxisValue:
    if isinstance(value, str) or (isinstance(value, int | float) and math.isfinite(value)):
        return value
    raise PydanticCustomError("axis_value", "not a value of an axis")


def _rewind_epoch(value: object) -> int | float | str:
    if isinstance(value, str) and iterations_of(value) is not None:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return value
    raise PydanticCustomError("rewind_epoch", "not a rewind epoch")


def _distinct(axis: tuple[AxisValue, ...]) -> tuple[AxisValue, ...]:
    seen: dict[tuple[bool, AxisValue], AxisValue] = {}
    for value in axis:
        start = iterations_of(value) == 0  # "0it" and 0 are the same point
        time = in_seconds(value) if isinstance(value, str) else None  # and "60s" and "1m" the same time
        identity = (isinstance(value, bool), 0 if start else value if time is None else f"{time:g}s")
        if identity in seen:
            raise PydanticCustomError(
                "duplicate", "the value {value} is there twice", {"value": inline(value)}
            )
        seen[identity] = value
    return axis


_AXIS = (Field(min_length=1), AfterValidator(_distinct))


class GridSpec(FileTable):
    """Every list is an axis, and the grid is their product.

    In addition to the axes below, any single value of [sweep.model], [sweep.data], [train] and [prune] can be an
    axis under its dotted name, in quotes: `"model.init" = ["kaiming_normal", "xavier_normal"]`,
    `"train.optimizer.lr" = [0.05, 0.1]`. `control` is short for `"prune.control"`, `rounds` for `"prune.rounds"`,
    `time` for `"prune.time"`.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[  # the dotted axes
        str, Annotated[tuple[Annotated[AxisValue, PlainValidator(_axis_value)], ...], *_AXIS]
    ]

    sparsity: Annotated[
        Annotated[tuple[Annotated[Number, Field(ge=0, lt=1)], ...], *_AXIS, BeforeValidator(_expand)] | None,
        Allowed(
            "a list of numbers >= 0 and < 1, or { levels = 12, rate = 0.2 } for 1 − 0.8^n",
            "a number >= 0 and < 1",
            LevelsSpec,
        ),
    ] = Field(
        None,
        examples=[[0.5, 0.9]],
        description="Fraction of the prunable weights to remove. Either this or threshold.",
    )
    threshold: Annotated[
        Annotated[tuple[Annotated[Number, Field(ge=0)], ...], *_AXIS] | None,
        Allowed("a list of numbers >= 0", "a number >= 0"),
    ] = Field(
        None,
        examples=[[0.01, 0.02]],
        description="Weights whose magnitude is at most this are removed. Either this or sparsity.",
    )
    rewind_epoch: Annotated[
        tuple[Annotated[int | float | str, PlainValidator(_rewind_epoch)], ...],
        *_AXIS,
        Allowed(
            'a list of epochs (numbers >= 0) or iterations (such as "500it")',
            'a number of epochs >= 0, or iterations such as "500it"',
        ),
    ] = Field(
        (0,),
        description="Point of the dense run to which the surviving weights are rewound; 0 is initialization. "
        "Below train.epochs.",
    )
    seed: Annotated[
        tuple[Annotated[Whole, Field(ge=0, lt=2**63)], ...],
        *_AXIS,
        Allowed("a list of whole numbers >= 0 and < 2^63", "a whole number >= 0 and < 2^63"),
    ] = Field((0,), description="Replicates: each seed is a dense run with another initialization and order.")

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, raw: object) -> object:
        return flatten_axes(raw) if isinstance(raw, dict) else raw

    @property
    def dotted(self) -> dict[str, tuple[AxisValue, ...]]:
        """The axes that vary a value of another table, as written."""
        return dict(self.__pydantic_extra__ or {})

    @property
    def axes(self) -> dict[str, tuple[AxisValue, ...]]:
        """Axis → its values: sparsity or threshold, rewind_epoch, seed, then the dotted axes as written."""
        amounts = {"sparsity": self.sparsity, "threshold": self.threshold}
        own: dict[str, tuple[AxisValue, ...]] = {
            name: values for name, values in amounts.items() if values is not None
        }
        return {**own, "rewind_epoch": self.rewind_epoch, "seed": self.seed, **self.dotted}
