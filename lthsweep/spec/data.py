"""`[sweep.data]`: the images, texts or sounds, the samples held out, and augmentation.

The table of each data set is generated from its entry in `lthsweep.data.datasets`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from lthsweep.data.datasets import DATASETS, Dataset
from lthsweep.registry import Option
from lthsweep.spec.base import Allowed, Flag, Number, Text, Whole
from lthsweep.spec.registry_fields import EntryTable, NameOf, TableByName, tables_of

__all__ = ["DataSpec", "DataTable", "OwnDataTable"]

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
    path: Text = Field(min_length=1, description="The folder or the zip file.")
    label: Annotated[
        Text,
        Allowed(
            "text of letters, digits, `.`, `_` and `-`, starting with a letter or a digit, at most 64 long"
        ),
    ] = Field(
        "",  # replaced by the name of the path
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="Name of the data in results, independent of their place; from the path if left out.",
    )

    @model_validator(mode="before")
    @classmethod
    def _label_from_path(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and "label" not in raw and isinstance(raw.get("path"), str):
            return {**raw, "label": Path(raw["path"]).stem}
        return raw


class _UserImages(_UserFiles, _Images):
    pass


class _UserTexts(_UserFiles, DataTable):
    pass


class OwnDataTable(_Images):
    """Images from a reader that you wrote; further keys are its keyword arguments. See
    [Your own reader](data.md#your-own-reader).
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Flag | Whole | Number | Text]

    name: Annotated[Text, NameOf({})] = Field(description="The function that reads the data.")
    augment: Literal["none", "crop", "crop-flip"] = Field(
        "none", description="Random crops of the training images, optionally with horizontal flips."
    )


def _base_of(entry: Dataset) -> type[DataTable]:
    if entry.own_files:
        return _UserImages if entry.augments else _UserTexts
    return _Images if entry.augments else DataTable


def _options_of(entry: Dataset) -> Mapping[str, Option]:
    """The keys of one data set: those of its reader, and the shared ones whose default it chooses."""
    options = {**entry.options, "validation": Option(entry.validation, _VALIDATION, least=0)}
    if entry.augments:
        help_ = (
            "Random shifts of the training sounds by up to `padding` frames; with crop in pitch too."
            if "shift" in entry.augments
            else "Random crops of the training images, optionally with horizontal flips."
        )
        options["augment"] = Option(entry.augments[0], help_, choices=entry.augments)
    return options


def _tables() -> dict[str, type[DataTable]]:
    return {
        name: tables_of(_base_of(entry), {name: (entry.summary, _options_of(entry))}, "The data set.")[name]
        for name, entry in DATASETS.items()
    }


DataSpec = Annotated[DataTable, TableByName(_tables(), own_code=OwnDataTable)]
"""The table of any data set; `name` selects which."""
