"""Tokens and vocabularies: the same from the same texts in any order."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.data.tokens import PAD, UNKNOWN, build_vocabulary, characters, encode, words
from lthsweep.errors import DataError, UnknownNameError

texts = st.lists(st.text(max_size=30), min_size=1, max_size=8).filter(lambda some: any(map(str.strip, some)))
names = st.sampled_from(["word", "char"])


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Don't stop, 2nd!", ["don't", "stop", ",", "2nd", "!"]),
        ("L’été, «ça»", ["l'été", ",", "«", "ça", "»"]),
        ("well-known  snake_case\n", ["well", "-", "known", "snake_case"]),
        ("<pad>", ["<", "pad", ">"]),
        ("3.14%", ["3", ".", "14", "%"]),
        (" \t", []),
    ],
)
def test_words_are_words_and_single_marks(text, tokens):
    """As documented; a text cannot contain the two special tokens."""
    assert list(words(text)) == tokens


def test_white_space_is_one_blank_between_characters():
    """So that a vocabulary of characters is a list of lines."""
    assert "".join(characters(" A\u2028b \t\r\nc ")) == "a b c"


@given(st.text())
def test_composed_and_decomposed_texts_have_the_same_tokens(text):
    """Two ways to write é are one word."""
    composed, decomposed = unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)

    for cut in (words, characters):
        assert list(cut(composed)) == list(cut(decomposed))


@pytest.mark.slow
@given(st.text())
def test_no_token_holds_white_space_but_the_blank(text):
    """A vocabulary is stored one token a line."""
    assert not any(any(map(str.isspace, token)) for token in words(text))
    assert all(token == " " or not token.isspace() for token in characters(text))


@given(texts, st.integers(3, 40), names, st.randoms())
def test_the_vocabulary_ignores_the_order_of_texts(some, size, name, chance):
    """It depends on counts, and on ties by code points."""
    other = list(some)
    chance.shuffle(other)
    try:
        vocabulary = build_vocabulary(some, size, name)
    except DataError:  # white space that is no token
        return

    assert build_vocabulary(other, size, name) == vocabulary
    assert vocabulary[:2] == (PAD, UNKNOWN)
    assert len(set(vocabulary)) == len(vocabulary) <= size


def test_the_vocabulary_is_by_frequency_then_alphabet():
    """Two special ones count among the size."""
    assert build_vocabulary(["b b c a", "d c a"], 5) == (PAD, UNKNOWN, "a", "b", "c")


@given(texts, st.integers(1, 12), names)
def test_what_is_known_can_be_read_back(some, length, name):
    """Numbers are the tokens, cut or filled up; an empty text is one unknown token."""
    cut = {"word": words, "char": characters}[name]
    try:
        vocabulary = build_vocabulary(some, 65_536, name)
    except DataError:
        return

    rows = encode(some, vocabulary, length, name)

    assert rows.dtype == np.uint16
    for row, text in zip(rows, some, strict=True):
        expected = list(cut(text))[:length] or [UNKNOWN]
        assert [vocabulary[index] for index in row] == expected + [PAD] * (length - len(expected))


def test_what_only_new_texts_have_is_unknown():
    """A stored vocabulary reads any text."""
    vocabulary = build_vocabulary(["one two"], 10)

    assert encode(["two three"], vocabulary, 4).tolist() == [[3, 1, 0, 0]]


def test_wrong_options_are_named():
    """Size, tokenizer, and nothing to count."""
    with pytest.raises(UnknownNameError, match="'word'"):
        build_vocabulary(["a"], 9, "words")
    with pytest.raises(DataError, match="all training texts are empty"):
        build_vocabulary(["", "  "], 9)
