"""Which files of a user are training and test samples, and of which class.

Understood are folders of classes, the same below folders of parts, and a CSV file of paths and labels. Folders around
everything are skipped. What fits several layouts is refused with the folders that were found, and every file that is
no sample is counted; docs/data.md has the rules for users.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from lthsweep.data.class_folders import classes_in
from lthsweep.data.decoded import Decoded, SampleArray
from lthsweep.data.file_tree import FileTree, listed_tree
from lthsweep.data.folders import Folder, SampleFiles, ending_of, folders_of, found_endings, joined
from lthsweep.data.part_folders import part_word, parts_in
from lthsweep.data.parts import Layout, decoded_parts, numbered_parts, part_named
from lthsweep.data.path_list import is_path_list, layout_of_list, listed_samples
from lthsweep.data.source import Notice, Report
from lthsweep.errors import DataError

__all__ = ["decode_classes", "read_layout"]

_LISTS_LIMIT = 64  # CSV files whose first line is read


def decode_classes(
    tree: FileTree,
    suffixes: tuple[str, ...],
    samples: str,
    decode: Callable[[FileTree, Sequence[str]], SampleArray],
    *,
    reader: str,
    remarks: Callable[[], tuple[Notice, ...]] = tuple,
) -> Decoded:
    """Return the images of a tree of the user's files.

    Args:
        tree: the files, or the CSV file that lists them.
        suffixes: as for `read_layout`.
        samples: as for `read_layout`.
        decode: returns the images of the files of these names in a tree.
        reader: name and version of the reader, see `digest_of_samples`.
        remarks: returns what `decode` found; called after it.

    Returns:
        Classes in sorted order of their names, samples in sorted order of (class, name).

    Raises:
        DataError: if the layout is not understood, or `decode` fails.
    """
    if tree.single:
        tree, layout = _listed(tree, suffixes)
        unused = tuple(
            notice for reason, names in layout.unused.items() for notice in Notice.of(reason, names)
        )
    else:
        layout, unused = read_layout(tree, suffixes, samples)
    where = str(tree.path)
    classes, train, test = numbered_parts(layout.train, layout.test, where, samples)
    text = layout.text if layout.test else f"{layout.text}; one in five is a test sample"
    return decoded_parts(
        tree,
        reader,
        classes,
        train,
        test,
        lambda names: decode(tree, names),
        lambda: Report(text, unused, remarks()),
    )


def read_layout(tree: FileTree, suffixes: tuple[str, ...], samples: str) -> tuple[Layout, tuple[Notice, ...]]:
    """Return which files of a tree are training and test samples, and of which class; and the files of no use.

    Args:
        tree: the files.
        suffixes: lower-case endings of the files to read.
        samples: the kind of sample in the plural, for messages.

    Raises:
        DataError: if the layout is not understood, or a class would lose all of its files.
    """
    kind = SampleFiles(str(tree.path), suffixes, samples)
    root = folders_of(tree, suffixes)
    if not root.all_samples():
        raise DataError(
            f"{kind.where} holds no {samples} ({', '.join(suffixes)}){found_endings(root.all_others())}; give "
            "the path of a folder of class folders"
        )
    outer = [root]
    while (inner := _only_wrapped(outer[-1])) is not None:
        outer.append(inner)
    top = outer[-1]
    layout = _list_in(tree, outer, kind) or parts_in(tree, top, kind)
    if layout is None:
        layout = Layout(f"{top.path}/CLASS".removeprefix("/"), classes_in(top, kind), [])
    return layout, _unused(layout, tree, root, kind)


def _only_wrapped(folder: Folder) -> Folder | None:
    """The only folder with samples in a folder, if it is around class folders; archives often have one."""
    filled = folder.filled()
    if folder.samples or len(filled) != 1 or filled[0].samples or part_named(filled[0].name):
        return None
    # Next to other folders, seg_test is a part: of seg_train, whose files can all have an ending that is not read.
    return None if len(folder.folders) > 1 and part_word(filled[0].name) else filled[0]


def _list_in(tree: FileTree, outer: Sequence[Folder], kind: SampleFiles) -> Layout | None:
    """The layout of the CSV file with the columns path and label in one of these folders, None if there is none."""
    places = [*outer, *(outer[-1].filled() if len(outer[-1].filled()) == 1 else [])]
    candidates = [name for folder in places for name in folder.others if name.lower().endswith(".csv")]
    lists = [name for name in candidates[:_LISTS_LIMIT] if is_path_list(tree, name)]
    if len(lists) > 1:
        raise kind.refusal(f"{joined(lists)} list paths and labels; join them, with a column split")
    if not lists:
        return None
    folder = lists[0][: lists[0].rfind("/") + 1]
    names = {name.removeprefix(folder): name for name in tree.names if name.startswith(folder)}
    samples = listed_samples(tree.read(lists[0]), f"{kind.where}/{lists[0]}")
    return layout_of_list(samples, names, kind.suffixes, lists[0])


def _listed(tree: FileTree, suffixes: tuple[str, ...]) -> tuple[FileTree, Layout]:
    """The files that the CSV file at the user's path lists, and their layout."""
    folder = tree.path.parent
    samples = listed_samples(tree.read(tree.names[0]), str(tree.path))
    names = {sample.path: sample.path for sample in samples if (folder / sample.path).is_file()}
    layout = layout_of_list(samples, names, suffixes, tree.path.name)
    return listed_tree(folder, tree.path, tuple(names)), layout


def _unused(layout: Layout, tree: FileTree, root: Folder, kind: SampleFiles) -> tuple[Notice, ...]:
    """What the tree holds and the layout does not use, by reason."""
    used = {name for part in (layout.train, layout.test) for _, name in part}
    used.update(layout.lists)
    class_folders = {name.rpartition("/")[0] for name in used} if layout.by_folder else set()
    by_reason: dict[str, list[str]] = defaultdict(list)
    for reason, names in layout.unused.items():
        by_reason[reason] += names
        used.update(names)
    for name in sorted({*root.all_samples()} - used):
        below = not class_folders.isdisjoint(_folders_around(name))
        where = "in folders below class folders" if below else f"that are no part of {layout.text}"
        by_reason[f"{kind.samples} {where}"].append(name)
    for name in sorted({*root.all_others()} - used):
        by_reason[
            "CSV files whose first line does not name the columns path and label, as a list of samples has"
            if name.lower().endswith(".csv")
            else f"files with {ending_of(name)}, which are not read as {kind.samples}"
        ].append(name)
    notices = tree.passed
    for reason, names in by_reason.items():
        notices += Notice.of(reason, names)
    return notices


def _folders_around(name: str) -> Iterator[str]:
    while name := name.rpartition("/")[0]:
        yield name
