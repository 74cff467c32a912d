"""The check of words that the project avoids."""

from __future__ import annotations

import pytest

from tests.prose import AVOIDED, avoided, main


@pytest.fixture
def write(tmp_path):
    """Writes a file with a text and returns its path."""

    def write(name, text):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_comments_and_docstrings_of_python_are_checked(write):
    path = write("a.py", '"""Nobody knows."""\nroom = 1  # what it is\n')  # prose: allow

    found = [(line, words) for line, _, words in avoided(path)]
    assert found == [(1, "Nobody"), (2, "what it")]  # prose: allow


def test_identifiers_are_not_checked(write):
    """Names are checked in review: `floor` is a function, too."""  # prose: allow
    assert not list(avoided(write("a.py", "floor = math.floor(2.5)\n")))  # prose: allow


def test_a_line_can_be_exempt(write):
    assert not list(avoided(write("a.md", "Nobody. <!-- prose: allow -->\n")))  # prose: allow


def test_an_avoided_word_fails_the_check(write, capsys):
    path = write("a.md", "Fine.\nBeside it.\n")  # prose: allow

    assert main([str(path)]) == 1
    assert f"{path}:2: 'Beside'" in capsys.readouterr().out  # prose: allow


def test_every_avoided_word_has_a_better_one():
    assert all(AVOIDED.values())
