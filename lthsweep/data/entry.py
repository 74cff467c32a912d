"""The type of the entries in the registry of data sets, and options that all data sets have."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from pydantic import TypeAdapter

from lthsweep.options import Option

__all__ = ["COMMON_OPTIONS", "DataOptions", "Dataset", "PublishedFile", "describe_data"]


@dataclass(frozen=True, slots=True)
class DataOptions:
    """How samples are split and presented: applied on the fly, so none of these options changes a pack.

    The fields are described in docs/the-file.md. Texts have no augmentation, padding or normalization: their batches
    are token numbers.

    Attributes:
        train_images: number of samples to train on; 0 for all that are not held out.
    """

    validation: int
    train_images: int = 0
    augment: str = "none"
    padding: int = 0
    normalize: str = "none"

    @classmethod
    def of(cls, table: Mapping[str, object]) -> DataOptions:
        """The options of a `[sweep.data]` table with every default written out; other keys are ignored."""
        return _DATA_OPTIONS.validate_python(dict(table))


_DATA_OPTIONS = TypeAdapter(DataOptions)

COMMON_OPTIONS = frozenset({"name", "source", *(field.name for field in fields(DataOptions))})
"""Keys of `[sweep.data]` that every data set has."""


def describe_data(options: Mapping[str, object]) -> str:
    """Return the name of a data set and the options that change its samples, such as `image_folder path=x size=32`."""
    chosen = (f"{name}={value}" for name, value in sorted(options.items()) if name not in COMMON_OPTIONS)
    return " ".join([str(options["name"]), *chosen])


@dataclass(frozen=True)
class PublishedFile:
    """One published file of a data set.

    Attributes:
        file: its name, as the host gives it.
        urls: addresses in the order to try.
        md5: hex digest of the file, as the host publishes it.
        size: bytes of the file; a download that exceeds it is stopped.
        unpacked: name of the file or folder that can replace it once unpacked.
        other_names: names under which mirrors give the same file.
        unpacked_md5: hex digest of the content of a gzip file that exists in several compressions; None if unknown.
    """

    file: str
    urls: tuple[str, ...]
    md5: str
    size: int
    unpacked: str
    unpacked_md5: str | None = None
    other_names: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that the file can have, packed or unpacked, in the order of preference."""
        return (self.file, self.unpacked, *self.other_names)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Properties of a data set that are known before it is read; the defaults are those of files of the user.

    Attributes:
        name: as written in a sweep's file.
        reader: "module:function" of `(files, **options) -> Decoded`; see `lthsweep.data.files.Files`.
        summary: the sentences of the reference page.
        license: terms of use, in a few words.
        citation: where the data set was published.
        shape: (channels, height, width) at the default options; None if the user's files decide.
        form: what a sample looks like, where options (in backticks) determine its shape.
        classes, n_train, n_test: counts; None if the user's files decide.
        class_names: one per label, where the files do not contain them.
        options: the options that change the packed data. Each combination of values has a separate pack.
        validation: default number of training samples held out.
        augments: allowed values of `augment`, the default first; empty for texts.
        files: the published files; empty if nothing can be downloaded.
        folders: folders below the data root in which the files can be, in the order of search.
        embedded: True if the data set comes with an installed package.
        own_files: True if the user names a path.
        gives: the kind of network that reads it, "images" or "texts"; "" if unknown.
        samples: what a sample is, in the plural; sounds are packed as images.
        version: of the reader's rules for published and embedded files; another version is another source.
    """

    name: str
    reader: str
    summary: str
    license: str = "yours"
    citation: str = ""
    shape: tuple[int, int, int] | None = None
    form: str = ""
    classes: int | None = None
    n_train: int | None = None
    n_test: int | None = None
    class_names: tuple[str, ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)
    validation: int = 0
    augments: tuple[str, ...] = ("none", "crop", "crop-flip")
    files: tuple[PublishedFile, ...] = ()
    folders: tuple[str, ...] = (".",)
    embedded: bool = False
    own_files: bool = False
    gives: str = "images"
    samples: str = "images"
    version: int = 1

    @property
    def digest(self) -> str:
        """Source digest of the published or embedded files, which needs no file; "" if the user's files decide."""
        if not self.files and not self.embedded:
            return ""
        identity = ["published", self.name, self.version, [file.md5 for file in self.files]]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()
