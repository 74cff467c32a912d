"""From texts to numbers: words or characters, a vocabulary, and rows of equal length.

Deliberately plain, so that a reader of a result can say what was done: no stemming, no subwords, no list of stop
words. The same texts give the same numbers on any machine.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from lthsweep.errors import DataError, look_up

__all__ = ["PAD", "TOKENIZERS", "UNKNOWN", "build_vocabulary", "characters", "encode", "tokenizer", "words"]

PAD = "<pad>"
"""Token 0: fills the rest of a row."""

UNKNOWN = "<unk>"
"""Token 1: whatever is not in the vocabulary, and the one token of an empty text."""

_MOST = 1 << 16  # numbers are uint16
_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")

Tokenizer = Callable[[str], Iterator[str]]


def words(text: str) -> Iterator[str]:
    """Words in small letters, with the apostrophes inside of them, and every other visible character by itself.

    "Don't stop, 2nd!" gives `don't`, `stop`, `,`, `2nd`, `!`. Unicode is composed (NFC) first, so that é written in one
    character or two is one word.
    """
    for found in _WORD.finditer(_plain(text)):
        yield found.group().replace("’", "'")


def characters(text: str) -> Iterator[str]:
    """Single characters in small letters; white space of any kind and length is one blank."""
    yield from " ".join(_plain(text).split())


TOKENIZERS: Mapping[str, Tokenizer] = {"word": words, "char": characters}
"""Value of the option `tokens` → the function that cuts a text."""


def tokenizer(name: str) -> Tokenizer:
    """Look up a tokenizer by its name in the sweep's file.

    Raises:
        UnknownNameError: if there is none of that name.
    """
    return look_up("tokenizer", name, TOKENIZERS)


def build_vocabulary(texts: Iterable[str], size: int, tokens: str = "word") -> tuple[str, ...]:
    """The most frequent tokens, and `<pad>` and `<unk>` before them.

    Args:
        texts: the training texts; a token that only the test has is unknown.
        size: how many there may be, the two special ones among them; 3..65536.
        tokens: name of a tokenizer.

    Returns:
        At most `size` tokens, the most frequent first, on ties in the order of their code points.

    Raises:
        DataError: if `size` is out of range, or there is not one token.
    """
    if not 3 <= size <= _MOST:
        raise DataError(f"data.vocabulary = {size}; it must be within 3..{_MOST}")
    cut = tokenizer(tokens)
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(cut(text))
    if not counts:
        raise DataError("all training texts are empty; there is nothing to learn from")
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return (PAD, UNKNOWN, *(token for token, _ in ranked[: size - 2]))


def encode(
    texts: Sequence[str], vocabulary: Sequence[str], length: int, tokens: str = "word"
) -> NDArray[np.uint16]:
    """Texts as rows of numbers, cut after `length` tokens or filled with 0.

    Args:
        texts: any; an empty one becomes a single `<unk>`, so that every row has a token to read.
        vocabulary: as `build_vocabulary` gives it, or as it lies beside a pack.
        length: tokens of a row, at least 1.
        tokens: name of the tokenizer that the vocabulary was made with.

    Returns:
        uint16 [N, length].
    """
    cut = tokenizer(tokens)
    number = {token: index for index, token in enumerate(vocabulary)}
    unknown = number[UNKNOWN]
    rows = np.zeros((len(texts), length), np.uint16)
    for row, text in zip(rows, texts, strict=True):
        ids = [number.get(token, unknown) for token in islice(cut(text), length)] or [unknown]
        row[: len(ids)] = ids
    return rows


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower()
