"""What all tables of the file share: frozen, no unknown keys, no NaN, and types that do not guess.

A boolean is not accepted as a number, and 10.0 is not accepted as a whole number. An integer is accepted as a number,
because people write `lr = 1`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Strict

__all__ = ["Allowed", "Flag", "Number", "Table", "Text", "Whole"]

Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
Flag = Annotated[bool, Strict()]
Text = Annotated[str, Strict()]


class Table(BaseModel):
    """A table of the file: immutable, comparable by value."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Allowed:
    """Annotates a field whose type alone does not say what may be written there.

    Attributes:
        text: completes "must be …".
        item: the same for one element of a list or of a table of free names; "" where the field is none.
        inner: the table that may stand there instead of a list, if any.
        free_names: the value is a table whose keys are not fixed.
    """

    text: str
    item: str = ""
    inner: type[Table] | None = None
    free_names: bool = False
