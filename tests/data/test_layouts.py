"""Layouts of any shape: every file is used, counted, or the tree is refused by name."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from lthsweep.data.file_tree import FileTree
from lthsweep.data.layouts import read_layout
from lthsweep.data.parts import numbered_parts
from lthsweep.errors import DataError

FOLDERS = ["train", "test", "val", "Train", "cat", "dog", "images", "seg_train", "seg_test", "a b", "données"]
FILES = st.builds(
    lambda folders, number, ending: "/".join([*folders, f"{number}{ending}"]),
    st.lists(st.sampled_from(FOLDERS), max_size=4),
    st.integers(0, 5),
    st.sampled_from([".png", ".png", ".PNG", ".heic", ""]),
)


@given(st.sets(FILES, min_size=1, max_size=25))
def test_every_file_is_used_or_counted(names):
    """No file is dropped in silence, and no class is without samples on either side."""
    tree = FileTree(Path("/data/pets"), tuple(sorted(names)), lambda name: b"", ())
    try:
        layout, unused = read_layout(tree, (".png",), "images")
        classes, train, test = numbered_parts(layout.train, layout.test, str(tree.path), "images")
    except DataError as error:
        assert str(error).startswith("/data/pets")
        return

    used = [*train.values, *test.values]
    assert len(set(used)) == len(used)
    assert len(used) + sum(finding.count for finding in unused) == len(names)
    assert {*train.labels.tolist()} == {*test.labels.tolist()} == {*range(len(classes))}
