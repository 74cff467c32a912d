"""`[sweep]`: the network, the data, and the name of the sweep."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lthsweep.spec.base import Allowed, Table, Text
from lthsweep.spec.data import DataSpec
from lthsweep.spec.models import ModelSpec

__all__ = ["SweepSpec"]


class SweepSpec(Table):
    """The network, the data, and the name of the sweep."""

    name: Annotated[
        Text,
        Allowed("text of a-z, 0-9, `.`, `_` and `-`, starting with a letter or a digit, at most 64 long"),
    ] = Field(
        "sweep",
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
        description="Name of the results directory; defaults to the file name.",
    )
    description: Text = Field("", description="One line about the study, shown with the results.")
    model: ModelSpec = Field(description="The network.")
    data: DataSpec = Field(description="The images, texts or sounds.")
