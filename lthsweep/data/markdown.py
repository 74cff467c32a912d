"""The tables of docs/data.md, from the entries of the data sets."""

from __future__ import annotations

import re

from lthsweep.data.datasets import DATASETS
from lthsweep.data.entry import Dataset, PublishedFile

__all__ = ["datasets_markdown", "folders_markdown"]


def datasets_markdown() -> str:
    """Contents, origin and needs of each data set."""
    lines = [
        "| name | a sample | classes | training / test | needs | license | source |",
        "|---|---|---|---|---|---|---|",
    ]
    for entry in DATASETS.values():
        counts = f"{entry.n_train:,} / {entry.n_test:,}" if entry.n_train and entry.n_test else "yours"
        cells = (_sample(entry), str(entry.classes or "yours"), counts, _needs(entry), entry.license)
        lines.append(f"| `{entry.name}` | {' | '.join(cells)} | {entry.citation or 'yours'} |")
    return "\n".join(lines)


def folders_markdown() -> str:
    """Where published files are searched below the data root."""
    lines = ["| name | folders below the root | files |", "|---|---|---|"]
    for entry in DATASETS.values():
        if entry.files:
            folders = ", ".join(f"`{folder}`" for folder in entry.folders)
            files = ", ".join(_names(published) for published in entry.files)
            lines.append(f"| `{entry.name}` | {folders} | {files} |")
    return "\n".join(lines)


def _names(published: PublishedFile) -> str:
    """A published file, and the name of its contents if it differs from the file without its suffix."""
    if published.file == f"{published.unpacked}.gz":
        return f"`{published.unpacked}`, gzipped or not"
    return f"`{published.file}`, or the folder `{published.unpacked}`"


def _sample(entry: Dataset) -> str:
    """The shape of a sample, with the defaults of the options that determine it."""
    if not entry.form:
        return "×".join(map(str, entry.shape or ()))
    names = dict.fromkeys(re.findall(r"`(\w+)`", entry.form))
    defaults = ", ".join(f"`{name}` is {entry.options[name].default}" for name in names)
    return f"{entry.form} (by default {defaults})"


def _needs(entry: Dataset) -> str:
    if entry.files:
        return f"{sum(published.size for published in entry.files) / 1e6:.0f} MB"
    return "nothing" if entry.embedded else "a folder, or a zip or tar of it"
