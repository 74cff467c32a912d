"""A tree of files seen as folders with samples, and the words for messages about them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from lthsweep.data.file_tree import FileTree
from lthsweep.errors import DataError

__all__ = [
    "Folder",
    "SampleFiles",
    "ending_of",
    "folders_of",
    "found_endings",
    "joined",
    "label_of",
    "paths_of",
    "unwrapped",
]

_SHOWN = 4  # names in a message


@dataclass(frozen=True)
class SampleFiles:
    """The files that are samples.

    Attributes:
        where: the tree, for messages.
        suffixes: lower-case endings of the samples.
        samples: the kind of sample in the plural, for messages.
    """

    where: str
    suffixes: tuple[str, ...]
    samples: str

    def refusal(self, reason: str) -> DataError:
        """Return the error that the layout of the tree cannot be read."""
        return DataError(f"{self.where}: {reason}")


@dataclass
class Folder:
    """A folder with its samples, its other files, and the folders in it."""

    path: str
    samples: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    folders: dict[str, Folder] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]

    def below(self) -> Iterator[Folder]:
        """This folder, and all folders below it."""
        yield self
        for folder in self.folders.values():
            yield from folder.below()

    def all_samples(self) -> list[str]:
        """The samples in it, at any depth."""
        return [name for folder in self.below() for name in folder.samples]

    def all_others(self) -> list[str]:
        """The other files in it, at any depth."""
        return [name for folder in self.below() for name in folder.others]

    def filled(self) -> list[Folder]:
        """The folders in it that have samples, at any depth."""
        return [folder for folder in self.folders.values() if any(inner.samples for inner in folder.below())]


def folders_of(tree: FileTree, suffixes: tuple[str, ...]) -> Folder:
    """Return the root of a tree, as folders with samples: the files with one of these lower-case endings."""
    root = Folder("")
    known = {"": root}

    def folder(path: str) -> Folder:
        if path not in known:
            known[path] = Folder(path)
            parent, _, name = path.rpartition("/")
            folder(parent).folders[name] = known[path]
        return known[path]

    for name in tree.names:
        parent = folder(name.rpartition("/")[0])
        (parent.samples if name.lower().endswith(suffixes) else parent.others).append(name)
    for path in tree.folders:
        folder(path)
    return root


def unwrapped(folder: Folder) -> Folder:
    """Return the folder of the class folders in a folder, which can have others around it."""
    while not folder.samples and len(filled := folder.filled()) == 1 and not filled[0].samples:
        folder = filled[0]
    return folder


def label_of(folder: Folder) -> str:
    """Return the class of a class folder: its name in Unicode form NFC, since macOS writes another form."""
    return unicodedata.normalize("NFC", folder.name)


def ending_of(name: str) -> str:
    """Return the lower-case ending of a file, in words."""
    stem, dot, ending = name.rpartition("/")[2].rpartition(".")
    return f"the ending .{ending.lower()}" if dot and stem else "no ending"


def found_endings(names: Collection[str]) -> str:
    """Return the most frequent endings with their counts, as a part of a sentence; "" for no names."""
    endings = Counter(map(ending_of, names)).most_common(_SHOWN)
    return f", but {', '.join(f'{count:,} with {ending}' for ending, count in endings)}" if endings else ""


def paths_of(folders: Collection[Folder]) -> list[str]:
    """Return the paths of folders, sorted."""
    return sorted(folder.path for folder in folders)


def joined(names: Sequence[str]) -> str:
    """Return the first names, and how many there are more."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
