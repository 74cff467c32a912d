"""`[sweep]`: the name of the sweep, its network, and its data.

The tables of networks and data sets are generated from `lthsweep.models.networks` and `lthsweep.data.datasets`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from lthsweep.data.datasets import DATASETS
from lthsweep.data.datasets import LIBRARIES as DATA_LIBRARIES
from lthsweep.data.entry import Dataset
from lthsweep.models.networks import INITIALIZERS, LIBRARIES, NETWORKS
from lthsweep.options import Option
from lthsweep.spec.fields import (
    Allowed,
    EntryTable,
    FileTable,
    Flag,
    NameOf,
    Number,
    TableByName,
    Text,
    Whole,
    tables_of,
)
from lthsweep.spec.names import NAME

__all__ = ["DataTable", "NetworkTable", "OwnDataTable", "OwnNetworkTable", "SweepSpec"]


class NetworkTable(EntryTable):
    """The keys that all networks share."""

    init: Annotated[Text, NameOf(INITIALIZERS)] = Field(
        "default",
        description="Distribution of convolution and linear weights at the start; default is PyTorch's.",
    )


class OwnNetworkTable(NetworkTable):
    """A network that you wrote, or of torchvision or timm; further keys are its keyword arguments. See
    [Your own network](models.md#your-own-network) and [networks of libraries](models.md#networks-of-libraries).
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Flag | Whole | Number | Text]

    name: Annotated[Text, NameOf({}, libraries=LIBRARIES)] = Field(
        description="The function or class that builds the network."
    )


_NETWORK_TABLES = tables_of(
    NetworkTable,
    {name: (entry.summary, entry.options) for name, entry in NETWORKS.items()},
    description="The network.",
)

_VALIDATION = "Training samples held out, the same for every seed; decisions use them, never the test set."


class DataTable(EntryTable):
    """The keys that all data sets share."""

    validation: Whole = Field(0, ge=0, description=_VALIDATION)
    train_images: Whole = Field(
        0,
        ge=0,
        description="Training samples to use, of those not held out: each class in proportion, the same for every "
        "seed. 0 uses all.",
    )


class _Images(DataTable):
    padding: Whole = Field(4, ge=0, le=512, description="Pixels of border from which a random crop is cut.")
    normalize: Literal["dataset", "none"] = Field(
        "dataset",
        description="dataset shifts and scales each channel by mean and deviation of the training images.",
    )


class _UserFiles(EntryTable):
    path: Text = Field(min_length=1, description="The folder, the archive, or the CSV file.")


class _UserImages(_UserFiles, _Images):
    pass


class _UserTexts(_UserFiles, DataTable):
    pass


class OwnDataTable(_Images):
    """Images from a reader that you wrote, or a data set of torchvision; further keys are its keyword arguments. See
    [Your own reader](data.md#your-own-reader) and [data sets of torchvision](data.md#data-sets-of-torchvision).
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Flag | Whole | Number | Text]

    name: Annotated[Text, NameOf({}, libraries=DATA_LIBRARIES)] = Field(
        description="The function that reads the data, or `torchvision:NAME`."
    )
    augment: Literal["none", "crop", "crop-flip"] = Field(
        "none", description="Random crops of the training images, optionally with horizontal flips."
    )


def _options_of(entry: Dataset) -> dict[str, Option]:
    """Options of the reader, and the shared keys whose default the data set chooses."""
    options = {**entry.options, "validation": Option(entry.validation, _VALIDATION, least=0)}
    if entry.augments:
        help_ = (
            "Random shifts of the training sounds by up to `padding` frames; with crop in pitch too."
            if "shift" in entry.augments
            else "Random crops of the training images, optionally with horizontal flips."
        )
        options["augment"] = Option(entry.augments[0], help_, choices=entry.augments)
    return options


def _table_of(entry: Dataset) -> type[DataTable]:
    if entry.own_files:
        base: type[DataTable] = _UserImages if entry.augments else _UserTexts
    else:
        base = _Images if entry.augments else DataTable
    tables = tables_of(base, {entry.name: (entry.summary, _options_of(entry))}, "The data set.")
    return tables[entry.name]


_DATA_TABLES = {name: _table_of(entry) for name, entry in DATASETS.items()}


class SweepSpec(FileTable):
    """The network, the data, and the name of the sweep."""

    name: Annotated[
        Text,
        Allowed("one line of text, in any script, of at most 100 characters"),
    ] = Field(
        "sweep",
        pattern=NAME,
        description="Name of the sweep and of its results directory; defaults to the file name.",
    )
    description: Text = Field("", description="One line about the study, shown with the results.")
    model: Annotated[
        NetworkTable, TableByName(_NETWORK_TABLES, own_code=OwnNetworkTable, libraries=LIBRARIES)
    ] = Field(description="The network.")
    data: Annotated[DataTable, TableByName(_DATA_TABLES, own_code=OwnDataTable, libraries=DATA_LIBRARIES)] = (
        Field(description="The images, texts or sounds.")
    )
    sources: Annotated[
        Mapping[Text, Annotated[Text, Field(pattern="^[0-9a-f]{64}$")]],
        Allowed(
            "a table of digests, as lthsweep writes it",
            "64 hexadecimal digits, as lthsweep writes them",
            free_names=True,
        ),
    ] = Field(
        {},
        description="Written by lthsweep: the content of the data, so that changed data is noticed. "
        "See [Identity of the data](data.md#identity-of-the-data).",
    )
