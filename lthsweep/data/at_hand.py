"""Whether a sweep's data can be read here, without reading it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lthsweep.data.locate import data_root, find_source, prepare_command
from lthsweep.data.pack import pack_folder, pixel_options
from lthsweep.data.packfile import read_meta
from lthsweep.data.registry import dataset
from lthsweep.errors import DataError

__all__ = ["packed_samples", "what_is_missing"]


def packed_samples(
    options: Mapping[str, Any], root: Path | None = None, cache: Path | None = None
) -> int | None:
    """How many training samples the pack of these options says it has; None if there is none to be read."""
    try:
        return int(read_meta(pack_folder(options, cache=cache, root=root))["shapes"]["train_images"][0])
    except (DataError, LookupError, TypeError, ValueError):  # a damaged one is for the run to refuse
        return None


def what_is_missing(
    options: Mapping[str, Any], root: Path | None = None, cache: Path | None = None
) -> str | None:
    """What is not here and has to be before a run can train, and the command that helps; None if nothing.

    Args:
        options: the sweep's data table.
        root: data root; default $LTHSWEEP_DATA or ~/data.
        cache: folder of packs; default $LTHSWEEP_CACHE or ~/.cache/lthsweep/data.

    Raises:
        UnknownNameError: if there is no such data set.
        DataError: if files of the user's own come without their path.
    """
    entry = dataset(str(options["name"]))
    if entry.embedded or pack_folder(options, cache=cache, root=root).exists():
        return None
    if entry.by_path:
        path = Path(pixel_options(options, root)["path"])
        return (
            None if path.exists() else f"{path} does not exist; give the path of your own: --set data.path=…"
        )
    if all(find_source(entry, source, data_root(root)) for source in entry.sources):
        return None
    return f"{entry.name} is not on this machine; `{prepare_command(options)}` gets it"
