"""Names of sweeps, and the folders that are unique to them."""

from __future__ import annotations

import tomllib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.plan.expand import expand
from lthsweep.spec import dump_spec, load_spec, spec_of
from lthsweep.spec.names import default_name, folder_name

GOOD = """
[sweep]
model = { name = "lenet_300_100" }
data = { name = "digits" }
[grid]
sparsity = [0.5]
"""

COLLIDING = [
    ("实验一", "实验二"),
    ("My Sweep", "my sweep", "my-sweep", "my_sweep", "My-Sweep", "my sweep!", " my sweep"),
    ("a" * 64, "a" * 65, "a" * 64 + "b"),
    ("実" * 60, "実" * 61, "実" * 99),
    ("é", "e\u0301", "É"),
    ("..", ".", "-", "???", "🙂", "🙃", "sweep"),
    ("a/b", "a-b", "a\\b", "a:b", "a b"),
    ("straße", "strasse", "STRASSE"),
    ("हिन्दी", "हनद"),
]


@pytest.mark.parametrize("names", COLLIDING, ids=lambda names: names[0][:8])
def test_different_names_have_different_folders(names):
    """The table of one sweep must not replace that of another, also where upper and lower case are one."""
    folders = [unicodedata.normalize("NFC", folder_name(name)).casefold() for name in names]

    assert len(set(folders)) == len(names), folders


@pytest.mark.parametrize(
    "name", ["digits-mobilenetv2", "a.b_c-1", "実験一", "schön", "हिन्दी", "study-20240101"]
)
def test_plain_names_are_their_folder(name):
    """Letters of any script are safe on file systems, and a reader finds the folder by the name."""
    assert folder_name(name) == name


@pytest.mark.parametrize(
    ("name", "start"), [("My Sweep", "my-sweep+"), ("../up", "up+"), ("-x", "x+"), ("???", "sweep+")]
)
def test_other_names_get_a_hash(name, start):
    """The folder is still recognized, and is no option, no hidden folder and no other place."""
    assert folder_name(name).startswith(start)


_NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=100)


@given(_NAMES, _NAMES)
def test_folders_of_any_names_are_safe_and_unique(name, other):
    """A folder is one part of a path, no longer than file systems take, and the folder of itself."""
    folder = folder_name(name)

    assert "/" not in folder
    assert folder[0] not in ".-"
    assert len(folder.encode()) <= 200
    assert folder == folder.lower()
    assert (folder == folder_name(other)) == (name == other)


@pytest.mark.parametrize(
    "stem", ["实验 一", "Größe", 'with "quotes"', "it's", "a\nb", "x" * 200, "\udcff", "a\u202eb"]
)
def test_any_file_name_gives_a_valid_sweep(tmp_path, stem):
    """A file without sweep.name is read, and its resolved file as well."""
    spec = spec_of(tomllib.loads(GOOD), default_name=default_name(stem))

    again = spec_of(tomllib.loads(dump_spec(spec)))

    assert again == spec
    assert expand(again).runs.keys() == expand(spec).runs.keys()
    assert default_name(stem) == stem or "+" in default_name(stem)


def test_file_names_that_were_one_are_two(tmp_path):
    """Both had the folder results/sweep."""
    names = []
    for stem in ("实验一", "实验二"):
        file = tmp_path / f"{stem}.toml"
        file.write_text(GOOD)
        names.append(load_spec(file).sweep.name)

    assert [folder_name(name) for name in names] == ["实验一", "实验二"]


def test_a_name_is_kept_as_written():
    """The folder can differ; messages, tables and pages do not."""
    assert spec_of(tomllib.loads(GOOD), ["sweep.name='My Sweep (v2)'"]).sweep.name == "My Sweep (v2)"
