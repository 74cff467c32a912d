"""Sounds of the user's own in folders of classes, packed as log-mel pictures that any convolutional network reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lthsweep.data.class_folders import class_numbers, files_of_classes, hold_out_test, own_path
from lthsweep.data.decoded import Decoded
from lthsweep.data.log_mel import log_mel, mel_bands
from lthsweep.data.trees import Tree, open_tree
from lthsweep.data.waves import SUFFIXES, fitted, read_sound, resampled
from lthsweep.errors import DataError

__all__ = ["Features", "load"]

_TOTAL_LIMIT = 32 << 30


@dataclass(frozen=True)
class Features:
    """How a sound becomes a picture; the options of the file.

    Attributes:
        rate: samples per second, to which other rates are converted.
        seconds: length; longer sounds are cut to their middle, shorter ones filled with silence.
        mels: bands, the height of the picture.
        window: samples of a frame.
        hop: samples from one frame to the next.
        decibels: range below full scale.
    """

    rate: int = 16_000
    seconds: float = 1.0
    mels: int = 64
    window: int = 400
    hop: int = 160
    decibels: int = 80

    def __post_init__(self) -> None:
        for name, (least, most) in _BOUNDS.items():
            if not least <= getattr(self, name) <= most:
                raise DataError(f"data.{name} = {getattr(self, name)}; it must be within {least}..{most}")
        if self.samples < self.window:
            raise DataError(
                f"data.seconds = {self.seconds} are {self.samples} samples, fewer than data.window = {self.window}; "
                f"raise the one or lower the other"
            )

    @property
    def samples(self) -> int:
        """Samples of every sound."""
        return round(self.seconds * self.rate)

    @property
    def frames(self) -> int:
        """Width of the picture."""
        return 1 + (self.samples - self.window) // self.hop

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Features:
        """From the data table, defaults where it is silent."""
        return cls(**{name: options[name] for name in _BOUNDS if name in options})


_BOUNDS: Mapping[str, tuple[float, float]] = {
    "rate": (1_000, 192_000),
    "seconds": (0.01, 600),
    "mels": (8, 512),
    "window": (16, 65_536),
    "hop": (1, 65_536),
    "decibels": (20, 140),
}


def load(options: Mapping[str, Any], root: Path) -> Decoded:
    """Read the sounds of a folder of class folders, or a zip of it.

    Args:
        options: `path`, and those of `Features`.
        root: where a relative path is looked for when it is not found below the working directory.

    Returns:
        Pictures of one channel, mels × frames; classes in sorted order of the training folders' names, sounds in
        sorted order of (class, name).

    Raises:
        MissingDataError: if there is nothing at `path`.
        DataError: if the layout is none of those understood, a file is unreadable, or the options do not fit together.
    """
    features = Features.of(options)
    bands = mel_bands(features.mels, features.rate, features.window)
    path = own_path(options, root, "a folder of class folders of WAV files")
    with open_tree(path) as tree:
        train, test = files_of_classes(tree.names(), str(path), SUFFIXES, "sounds")
        classes, labels, test_labels = class_numbers(train, test, str(path), "sounds", all_tested=True)
        pictures = _pictures(tree, [name for _, name in train], features, bands, str(path))
        if test:
            test_pictures = _pictures(tree, [name for _, name in test], features, bands, str(path))
        else:
            kept, held_out = hold_out_test(labels)
            test_pictures, test_labels = pictures[held_out], labels[held_out]
            pictures, labels = pictures[kept], labels[kept]
        return Decoded(pictures, labels, test_pictures, test_labels, classes, stamps=(tree.stamp(),))


def _pictures(
    tree: Tree, names: Sequence[str], features: Features, bands: NDArray[np.float64], where: str
) -> NDArray[np.uint8]:
    shape = (len(names), features.mels, features.frames, 1)
    if np.prod(shape, dtype=np.int64) > _TOTAL_LIMIT:
        raise DataError(
            f"{where}: {len(names):,} pictures of {features.mels}x{features.frames} need more than "
            f"{_TOTAL_LIMIT >> 30} GiB; lower data.seconds or data.mels, or raise data.hop"
        )
    pictures = np.empty(shape, np.uint8)
    for row, name in enumerate(names):
        samples, rate = read_sound(tree.read(name), f"{where}/{name}")
        sound = fitted(resampled(samples, rate, features.rate), features.samples)
        pictures[row, ..., 0] = log_mel(
            sound, bands, window=features.window, hop=features.hop, decibels=features.decibels
        )
    return pictures
