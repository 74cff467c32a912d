"""The keys of `[sweep.data]` that every data set has: they are applied on the fly and change no pack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter

__all__ = ["DataOptions"]


@dataclass(frozen=True, slots=True)
class DataOptions:
    """How samples are split and presented; the fields are described in docs/the-file.md.

    Texts have no augmentation, padding or normalization: their batches are token numbers.

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
        return _SCHEMA.validate_python(dict(table))


_SCHEMA = TypeAdapter(DataOptions)
