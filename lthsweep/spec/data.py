"""`[sweep.data]`: which images, texts or sounds, how many are held out, and how they are augmented."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from lthsweep.spec.base import Allowed, Number, Table, Text, Whole
from lthsweep.spec.registry_fields import EntryTable, TableByName

__all__ = [
    "AudioSpec",
    "CifarSpec",
    "DataSpec",
    "DigitsSpec",
    "ImageFolderSpec",
    "MnistSpec",
    "TextSpec",
    "TinyImageNetSpec",
]

Augment = Literal["none", "crop", "crop-flip"]

_VALIDATION = (
    "Training samples held out, the same for every seed; choices are made on them, never on the test set."
)
_AUGMENT = "Random crops, with or without random horizontal flips, of the training images."
_SIZE = "Side of the square images, in pixels; other sizes are resampled."

Validation = Annotated[Whole, Field(ge=0, description=_VALIDATION)]
Size = Annotated[Whole, Field(ge=8, le=1024, description=_SIZE)]


class DataTable(EntryTable):
    """The keys that all data sets share."""

    gives: ClassVar[str] = "images"
    """What a network has to read: "images" (sounds are packed as some) or "texts"."""

    train_images: Whole = Field(
        0,
        ge=0,
        description="Training samples to train on, of those not held out: each class in proportion, the same ones "
        "for every seed. 0 takes all.",
    )


class _Data(DataTable):
    padding: Whole = Field(4, ge=0, le=512, description="Pixels of border from which a random crop is cut.")
    normalize: Literal["dataset", "none"] = Field(
        "dataset",
        description="dataset shifts and scales each channel by mean and deviation of the training images.",
    )


class DigitsSpec(_Data):
    """Real handwritten digits, 1,797 of them, that come with scikit-learn; nothing to download."""

    name: Literal["digits"] = Field("digits", description="The data set.")
    size: Annotated[Whole, Field(ge=8, le=256, description=_SIZE)] = 32
    validation: Validation = 150
    augment: Augment = Field("none", description=_AUGMENT)


class MnistSpec(_Data):
    """MNIST: 60,000 and 10,000 handwritten digits of 28 × 28 pixels."""

    name: Literal["mnist"] = Field("mnist", description="The data set.")
    validation: Validation = 5000
    augment: Augment = Field("none", description=_AUGMENT)


class CifarSpec(_Data):
    """CIFAR-10 or CIFAR-100: 50,000 and 10,000 photographs of 32 × 32 pixels."""

    name: Literal["cifar10", "cifar100"] = Field(description="The data set, by number of classes.")
    validation: Validation = 5000
    augment: Augment = Field("crop-flip", description=_AUGMENT)


class TinyImageNetSpec(_Data):
    """Tiny ImageNet: 100,000 and 10,000 photographs of 64 × 64 pixels, 200 classes."""

    name: Literal["tiny_imagenet"] = Field("tiny_imagenet", description="The data set.")
    validation: Validation = 5000
    augment: Augment = Field("crop-flip", description=_AUGMENT)


class _Own(Table):
    path: Text = Field(min_length=1, description="The folder or the zip file.")
    label: Annotated[
        Text,
        Allowed(
            "text of letters, digits, `.`, `_` and `-`, starting with a letter or a digit, at most 64 long"
        ),
    ] = Field(
        "",  # never stays: the path gives one
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="What the data are called in results, wherever they lie; from the path if left out.",
    )

    @model_validator(mode="before")
    @classmethod
    def _label_from_path(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and "label" not in raw and isinstance(raw.get("path"), str):
            return {**raw, "label": Path(raw["path"]).stem}
        return raw


class ImageFolderSpec(_Own, _Data):
    """Your images: a folder, or a zip of it, with one folder per class."""

    name: Literal["image_folder"] = Field("image_folder", description="The data set.")
    size: Size = 32
    validation: Validation = 0
    augment: Augment = Field("none", description=_AUGMENT)


class TextSpec(_Own, DataTable):
    """Your texts: CSV files with the columns label and text, or one `.txt` file per text in one folder per class; see
    [Text and audio](text-and-audio.md).
    """

    gives: ClassVar[str] = "texts"

    name: Literal["text_csv", "text_folder"] = Field(description="The data set, by form.")
    tokens: Literal["word", "char"] = Field(
        "word",
        description="Units of a text: words and punctuation, or single characters; in lower case.",
    )
    vocabulary: Whole = Field(
        20_000,
        ge=3,
        le=65_536,
        description="Number of tokens: the most frequent ones of the training texts, one for padding, and one for all "
        "others.",
    )
    length: Whole = Field(
        64, ge=8, le=4096, description="Tokens of a text; longer texts are cut, shorter ones are padded."
    )
    validation: Validation = 0


class AudioSpec(_Own, _Data):
    """Your sounds in one folder per class, as log-mel spectrograms, which every network for images reads; see
    [Text and audio](text-and-audio.md).
    """

    name: Literal["audio_folder"] = Field("audio_folder", description="The data set.")
    rate: Whole = Field(
        16_000, ge=1000, le=192_000, description="Samples per second; sounds of other rates are converted."
    )
    seconds: Number = Field(
        1.0,
        ge=0.01,
        le=600,
        description="Length; longer sounds are cut to their middle, shorter ones are padded with silence.",
    )
    mels: Whole = Field(
        64, ge=8, le=512, description="Bands on the mel scale: the height of the spectrogram."
    )
    window: Whole = Field(400, ge=16, le=65_536, description="Samples of a frame.")
    hop: Whole = Field(160, ge=1, le=65_536, description="Samples from one frame to the next.")
    decibels: Whole = Field(
        80,
        ge=20,
        le=140,
        description="Range below full scale; quieter values count as silence.",
    )
    validation: Validation = 0
    augment: Literal["none", "shift", "crop"] = Field(
        "none",
        description="Random shifts of the training sounds by up to `padding` frames; with crop in pitch too.",
    )


DATA_SETS = TableByName(
    {
        name: table
        for table in (
            DigitsSpec,
            MnistSpec,
            CifarSpec,
            TinyImageNetSpec,
            ImageFolderSpec,
            TextSpec,
            AudioSpec,
        )
        for name in get_args(table.model_fields["name"].annotation)
    }
)

DataSpec = Annotated[DataTable, DATA_SETS]
"""The table of any data set; `name` selects which."""
