"""`[sweep.model]`: the network, and the initialization of its weights; generated from `lthsweep.models.networks`."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from lthsweep.models.networks import INITIALIZERS, NETWORKS
from lthsweep.spec.base import Flag, Number, Text, Whole
from lthsweep.spec.registry_fields import EntryTable, NameOf, TableByName, tables_of

__all__ = ["ModelSpec", "NetworkTable", "OwnNetworkTable"]

_NAME = "The network."


class NetworkTable(EntryTable):
    """The keys that all networks share."""

    init: Annotated[Text, NameOf(INITIALIZERS)] = Field(
        "default",
        description="Distribution of convolution and linear weights at the start; default is PyTorch's.",
    )


class OwnNetworkTable(NetworkTable):
    """A network that you wrote; further keys are its keyword arguments. See
    [Your own network](models.md#your-own-network).
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Flag | Whole | Number | Text]

    name: Annotated[Text, NameOf({})] = Field(description="The function that builds the network.")


ModelSpec = Annotated[
    NetworkTable,
    TableByName(
        tables_of(
            NetworkTable, {name: (entry.summary, entry.options) for name, entry in NETWORKS.items()}, _NAME
        ),
        own_code=OwnNetworkTable,
    ),
]
"""The table of any network; `name` selects which."""
