"""From texts to numbers: words or characters, a vocabulary, and rows of equal length.

The rules are plain so that a reader of a result can reproduce them: no stemming, no subwords, no stop words. The same
texts give the same numbers on every machine.
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

__all__ = ["PAD", "UNKNOWN", "build_vocabulary", "characters", "encode", "is_longer", "words"]

PAD = "<pad>"
"""Token 0: fills a row up to its length."""

UNKNOWN = "<unk>"
"""Token 1: every token that is not in the vocabulary, and the only token of an empty text."""

_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


def words(text: str) -> Iterator[str]:
    """Yield lower-case words, including the apostrophes inside of them, and every other visible character alone.

    "Don't stop, 2nd!" gives `don't`, `stop`, `,`, `2nd`, `!`. Unicode is composed (NFC) first, so that é written with
    one character or two is one word.
    """
    for found in _WORD.finditer(_plain(text)):
        yield found.group().replace("’", "'")


def characters(text: str) -> Iterator[str]:
    """Yield single lower-case characters; white space of any kind and length is one blank."""
    yield from " ".join(_plain(text).split())


_TOKENIZERS: Mapping[str, Callable[[str], Iterator[str]]] = {"word": words, "char": characters}


def build_vocabulary(texts: Iterable[str], size: int, tokens: str = "word") -> tuple[str, ...]:
    """Return `<pad>`, `<unk>`, and the most frequent tokens.

    Args:
        texts: the training texts; a token that occurs only in the test set is unknown.
        size: largest number of tokens, including the two special ones; 3..65536, because numbers are uint16.
        tokens: "word" or "char".

    Returns:
        At most `size` tokens, the most frequent first, ties in the order of their code points.

    Raises:
        UnknownNameError: if the tokenizer is unknown.
        DataError: if the texts contain no token.
    """
    tokenize = look_up("tokenizer", tokens, _TOKENIZERS)
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(tokenize(text))
    if not counts:
        raise DataError("all training texts are empty; add texts with visible characters")
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return (PAD, UNKNOWN, *(token for token, _ in ranked[: size - 2]))


def encode(
    texts: Sequence[str], vocabulary: Sequence[str], length: int, tokens: str = "word"
) -> NDArray[np.uint16]:
    """Return texts as rows of token numbers, cut after `length` tokens or filled with 0.

    Args:
        texts: an empty one becomes a single `<unk>`, so that every row has a token.
        vocabulary: from `build_vocabulary`, or from the file `vocabulary.txt` of a pack.
        length: tokens of a row, at least 1.
        tokens: name of the tokenizer with which the vocabulary was built.

    Returns:
        uint16 [N, length].
    """
    tokenize = look_up("tokenizer", tokens, _TOKENIZERS)
    number = {token: index for index, token in enumerate(vocabulary)}
    unknown = number[UNKNOWN]
    rows = np.zeros((len(texts), length), np.uint16)
    for row, text in zip(rows, texts, strict=True):
        ids = [number.get(token, unknown) for token in islice(tokenize(text), length)] or [unknown]
        row[: len(ids)] = ids
    return rows


def is_longer(text: str, length: int, tokens: str = "word") -> bool:
    """True if `encode` would cut a text to `length` tokens."""
    tokenize = look_up("tokenizer", tokens, _TOKENIZERS)
    return next(islice(tokenize(text), length, None), None) is not None


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower()
