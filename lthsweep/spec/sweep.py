"""`[sweep]`: what is trained on what, and what the sweep is called."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lthsweep.spec.base import Allowed, Table, Text
from lthsweep.spec.data import DataSpec
from lthsweep.spec.models import ModelSpec

__all__ = ["SweepSpec"]


class SweepSpec(Table):
    """What is trained on what, and what the sweep is called."""

    name: Annotated[
        Text,
        Allowed("text of a-z, 0-9, `.`, `_` and `-`, starting with a letter or a digit, at most 64 long"),
    ] = Field(
        "sweep",
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
        description="Names the directory of results; the file's own name if left out.",
    )
    description: Text = Field("", description="A line for the reader of the results.")
    model: ModelSpec = Field(description="The network.")
    data: DataSpec = Field(description="The images, texts or sounds.")
