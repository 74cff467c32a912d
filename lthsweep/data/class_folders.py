"""Class folders: one folder of samples per class."""

from __future__ import annotations

from lthsweep.data.folders import Folder, SampleFiles, found_endings, joined, label_of, paths_of

__all__ = ["classes_in"]


def classes_in(folder: Folder, kind: SampleFiles) -> list[tuple[str, str]]:
    """Return (class, file) of the samples in class folders, sorted; those in folders below are left out.

    Raises:
        DataError: if a file is in no class folder, a class folder has no samples or several folders of samples, or two
            names are one in two Unicode forms.
    """
    if folder.samples:
        raise kind.refusal(
            f"{joined(sorted(folder.samples))} lies in no class folder; put it in CLASS/ or remove it, or list the "
            "files in a CSV file with the columns path and label"
        )
    empty = [inner for inner in folder.folders.values() if not inner.all_samples()]
    if empty:
        raise kind.refusal(
            f"{joined(paths_of(empty))}: no {kind.samples} in this class folder{found_endings(empty[0].all_others())}; "
            f"convert its files to {kind.suffixes[-1]} or another ending that is read ({', '.join(kind.suffixes)}), or "
            "remove the folder"
        )
    found = []
    folders: dict[str, str] = {}
    for inner in folder.folders.values():
        label = label_of(inner)
        other = folders.setdefault(label, inner.path)
        if other != inner.path:
            raise kind.refusal(
                f"{other!r} and {inner.path!r} are one name in two Unicode forms; join the two folders"
            )
        found += [(label, name) for name in _samples_of(inner, kind)]
    return sorted(found)


def _samples_of(class_folder: Folder, kind: SampleFiles) -> list[str]:
    """The samples of a class folder, which can be in an inner folder such as `images`."""
    inner = class_folder
    while not inner.samples:
        filled = inner.filled()
        if len(filled) > 1:
            names = [folder.path for folder in filled]
            raise kind.refusal(
                f"{class_folder.path!r} holds no {kind.samples} itself but folders of them ({joined(names)}), so the "
                f"classes are unclear; give data.path the folder of the class folders, call folders of parts train and "
                "test, or list the files in a CSV file with the columns path and label"
            )
        inner = filled[0]
    return inner.samples
