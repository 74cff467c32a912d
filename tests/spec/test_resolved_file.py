"""The file of a sweep directory is read only as lthsweep wrote it; a user's own file is read as it is."""

from __future__ import annotations

import re

import pytest

from lthsweep.errors import SpecError
from lthsweep.spec import load_spec, resolved_file, spec_of

SPEC = spec_of(
    {
        "sweep": {"name": "small", "model": {"name": "lenet_300_100"}, "data": {"name": "digits"}},
        "grid": {"sparsity": [0.5, 0.9], "rewind_epoch": [0], "seed": [0, 1]},
    }
)
TEXT = resolved_file(SPEC)
LINES = TEXT.splitlines(keepends=True)


@pytest.fixture
def load(tmp_path):
    """Loads a directory whose file has a text."""

    def load(text):
        (tmp_path / "sweep.toml").write_text(text)
        return load_spec(tmp_path)

    return load


def test_the_written_file_is_read_back(load):
    """Also by its path, as any other file."""
    assert load(TEXT) == SPEC


def test_a_file_without_a_hash_is_the_users(load):
    """A user can put a file there before the first run."""
    assert load("".join(LINES[1:-2])) == SPEC


@pytest.mark.parametrize("digit", [match.start() for match in re.finditer(r"[0-9]", TEXT)][::3])
def test_a_changed_digit_is_refused(load, digit):
    """Another margin is another verdict, another learning rate another recipe."""
    other = "7" if TEXT[digit] != "7" else "5"

    with pytest.raises(SpecError, match=r"sweep\.toml.*damaged"):
        load(TEXT[:digit] + other + TEXT[digit + 1 :])


@pytest.mark.parametrize("number", range(1, len(LINES), 4))
def test_lost_lines_are_noticed_at_either_end(load, number):
    """TOML without its last table is TOML, with defaults in place of the lost settings."""
    for text in ("".join(LINES[:number]), "".join(LINES[number:])):
        with pytest.raises(SpecError, match=r"sweep\.toml.*damaged"):
            load(text)


def test_an_edited_copy_is_an_ordinary_file(tmp_path):
    """The hash protects the directory; a copy elsewhere can be changed and run with --out."""
    copy = tmp_path / "mine.toml"
    copy.write_text(TEXT.replace("margin = 0.002", "margin = 0.01"))

    assert load_spec(copy).verdict.margin == 0.01
