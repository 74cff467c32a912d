"""Folders of parts: `train`, `test` and `val` with class folders in each, or a pair such as `seg_train` and `seg_test`.

Tiny ImageNet's own layout is one of them: its `val` has a file of annotations instead of class folders.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from lthsweep.data.class_folders import classes_in
from lthsweep.data.csv_table import decode_text
from lthsweep.data.file_tree import FileTree
from lthsweep.data.folders import Folder, SampleFiles, found_endings, joined, label_of, paths_of, unwrapped
from lthsweep.data.parts import PART_NAMES, Layout, part_named
from lthsweep.wording import plural

__all__ = ["part_word", "parts_in"]

_ANNOTATIONS = "val_annotations.txt"
"""File of Tiny ImageNet next to the folder `images`: file name and class in each line, separated by tabs."""

_NO_CLASS = ("data", "image", "images", "img", "imgs", "unknown", "unlabeled", "unlabelled")  # typos: ignore
"""Names of a folder around test samples of unknown classes."""


def parts_in(tree: FileTree, top: Folder, kind: SampleFiles) -> Layout | None:
    """Return the layout of a folder with folders of parts; None if it has none, or a class has the name of a part.

    Args:
        tree: the files.
        top: the folder of the part folders.
        kind: the endings of samples, and words for messages.

    Raises:
        DataError: if the parts are ambiguous, or the classes of the only test part are unknown.
    """
    parts = _part_folders(top, kind)
    rest = [folder for folder in top.filled() if folder not in parts.values()]
    if "train" not in parts:
        if parts and not rest:
            raise kind.refusal(f"there are {joined(paths_of(parts.values()))} but no train folder; add one")
        return None
    train = unwrapped(parts["train"])
    if rest and len(parts) == 1 and (train.samples or len(train.filled()) <= 1):
        return None  # a class that is called train, next to other classes
    if not train.all_samples():
        raise kind.refusal(
            f"{train.path} holds no {kind.samples}{found_endings(train.all_others())}; add some or rename the folder"
        )
    if train.samples:
        raise kind.refusal(
            f"{joined(sorted(train.samples))} lies in no class folder; put it in {train.path}/CLASS/ or remove it, or "
            "list the files in a CSV file with the columns path and label"
        )
    training = classes_in(train, kind)
    classes = {label for label, _ in training}
    others = {part: folder for part, folder in parts.items() if part != "train"}
    tested = {part: _test_part(tree, folder, classes, kind) for part, folder in others.items()}
    used = next((part for part, found in tested.items() if found is not None), None)
    if used is None:
        _refuse_unknown_classes(others, kind)
        _refuse_likely_part(rest, classes, kind)
        return Layout(f"{train.path}/CLASS", training, [])
    unused = {
        f"{kind.samples} of {folder.path}: "
        + ("in no class folder" if tested[part] is None else f"{others[used].path} is the test part"): (
            folder.all_samples()
        )
        for part, folder in others.items()
        if part != used
    }
    annotations = _annotations(others[used])
    testing = f"{annotations} with the labels" if annotations else f"{unwrapped(others[used]).path}/CLASS"
    return Layout(
        f"{train.path}/CLASS and {testing}",
        training,
        tested[used] or [],
        unused,
        (annotations,) if annotations else (),
    )


def _part_folders(top: Folder, kind: SampleFiles) -> dict[str, Folder]:
    """Part → its folder: `train` and others, or names that share the rest, such as `seg_train` and `seg_test`."""
    by_rest: dict[str, dict[str, list[Folder]]] = defaultdict(lambda: defaultdict(list))
    for folder in top.folders.values():
        found = part_word(folder.name)
        if found is not None:
            part, rest = found
            by_rest[rest][part].append(folder)
    plain = by_rest.pop("*", {})
    pairs = [group for group in by_rest.values() if "train" in group and len(group) > 1]
    if not plain and len(pairs) > 1:
        return {}
    group = plain or (pairs[0] if pairs else {})
    for part, folders in group.items():
        filled = [folder for folder in folders if folder.all_samples()]
        if len(filled) > 1:
            raise kind.refusal(
                f"{joined(paths_of(filled))} are both the part {part}; join them, or remove one"
            )
        group[part] = filled or folders
    order = [part for part in PART_NAMES if part in group]
    return {part: group[part][0] for part in order}


def part_word(name: str) -> tuple[str, str] | None:
    """Return the part whose name is one of the words of a folder, and the other words; None if there is not one."""
    words = re.split(r"[\W_]+", name.lower())
    found = [(index, part) for index, word in enumerate(words) if (part := part_named(word))]
    if len(found) != 1:
        return None
    index, part = found[0]
    return part, "-".join([*words[:index], "*", *words[index + 1 :]])


def _test_part(
    tree: FileTree, part: Folder, classes: set[str], kind: SampleFiles
) -> list[tuple[str, str]] | None:
    """(class, file) of the samples of a test part; None if their classes are unknown."""
    annotations = _annotations(part)
    if annotations is not None:
        return _annotated(tree, annotations, part, kind)
    if not part.all_samples():
        raise kind.refusal(
            f"{part.path} holds no {kind.samples}{found_endings(part.all_others())}; add some or remove the folder"
        )
    inner = unwrapped(part)
    filled = inner.filled()
    if inner.samples or (
        len(filled) == 1 and label_of(filled[0]) not in classes and filled[0].name.lower() in _NO_CLASS
    ):
        return None
    return classes_in(inner, kind)


def _annotations(part: Folder) -> str | None:
    return next((name for name in part.others if name.endswith(f"/{_ANNOTATIONS}")), None)


def _annotated(tree: FileTree, annotations: str, part: Folder, kind: SampleFiles) -> list[tuple[str, str]]:
    lines = decode_text(tree.read(annotations), f"{kind.where}/{annotations}").splitlines()
    by_name = {name.rpartition("/")[2]: name for name in part.all_samples()}
    found = {}
    for number, line in enumerate(lines, start=1):
        name, _, rest = line.partition("\t")
        label = rest.partition("\t")[0].strip()
        if not label or name not in by_name or name in found:
            raise kind.refusal(
                f"{annotations}, line {number}: {name!r} is no file of {part.path}, has no class, or is listed twice; "
                "get the data set again"
            )
        found[name] = label
    return sorted((label, by_name[name]) for name, label in found.items())


def _refuse_unknown_classes(parts: Mapping[str, Folder], kind: SampleFiles) -> None:
    for folder in parts.values():
        raise kind.refusal(
            f"{plural(len(folder.all_samples()), kind.samples[:-1])} of {folder.path} lie in no class folder, so their "
            f"classes are unknown; put them in {folder.path}/CLASS/, or move {folder.path} away: then one in five of "
            f"the training {kind.samples} becomes the test set"
        )


def _refuse_likely_part(rest: Sequence[Folder], classes: set[str], kind: SampleFiles) -> None:
    """Refuse a folder with the classes of the training part, and a name that is not the one of a part."""
    for folder in rest:
        if {label_of(inner) for inner in unwrapped(folder).filled()} & classes:
            raise kind.refusal(
                f"{folder.path!r} has class folders like the training part, but no name of a part; rename it to test "
                "or move it away"
            )
