"""The places of keys in a text."""

from __future__ import annotations

import tomllib

import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.spec.positions import Mark, locate

keys = st.text(st.characters(codec="ascii", exclude_characters="\n\r"), min_size=1, max_size=6)
scalars = st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=9)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=9,
)


def paths(value, path=()):
    """The paths of all keys and list elements of parsed TOML."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield (*path, name)
        yield from paths(item, (*path, name))


def test_every_form_of_key_is_found():
    """Headers, dotted and quoted keys, inline tables, lists, strings full of brackets, comments."""
    text = (
        '# a = 1\n"q.x" = """\nb = [\n"""  # c\n'
        "[t.u]\n  v.w = { y = 1, z = [ 'a]', 2 ] }\nlist = [\n  1, # one\n  2,\n]\n"
        "[[many]]\nk = 1979-05-27 07:32:00\n[[many]]\n[[many.b]]\n[many.b.c]\n"
    )
    tomllib.loads(text)

    assert locate(text).places == {
        ("q.x",): Mark(2, 1, 5),
        ("t", "u"): Mark(5, 1, 5),
        ("t", "u", "v"): Mark(6, 3, 3),
        ("t", "u", "v", "w"): Mark(6, 3, 3),
        ("t", "u", "v", "w", "y"): Mark(6, 11, 1),
        ("t", "u", "v", "w", "z"): Mark(6, 18, 1),
        ("t", "u", "v", "w", "z", 0): Mark(6, 24, 4),
        ("t", "u", "v", "w", "z", 1): Mark(6, 30, 1),
        ("t", "u", "list"): Mark(7, 1, 4),
        ("t", "u", "list", 0): Mark(8, 3, 1),
        ("t", "u", "list", 1): Mark(9, 3, 1),
        ("many",): Mark(11, 1, 8),
        ("many", 0): Mark(11, 1, 8),
        ("many", 0, "k"): Mark(12, 1, 1),
        ("many", 1): Mark(13, 1, 8),
        ("many", 1, "b"): Mark(14, 1, 10),
        ("many", 1, "b", 0): Mark(14, 1, 10),
        ("many", 1, "b", 0, "c"): Mark(15, 1, 10),
    }
    assert locate(text).duplicates == []


@given(st.dictionaries(keys, values, max_size=4))
def test_every_key_and_element_has_a_position(tables):
    """An error without a line is an error that a reader has to look for."""
    text = tomli_w.dumps(tables)
    parsed = tomllib.loads(text)
    found = locate(text)

    headers = {path for path in paths(parsed) if path not in found.places}
    assert all(
        any(longer[: len(path)] == path and longer != path for longer in found.places) for path in headers
    )
    assert found.duplicates == []


@given(st.text(st.sampled_from("[]{}=.,#\"'\\\na1 "), max_size=40))
def test_broken_text_is_parsed_up_to_the_error(text):
    """The scanner runs on texts that are no TOML, to find the first of two duplicates."""
    for mark in locate(text).places.values():
        assert 1 <= mark.line <= text.count("\n") + 1
