"""Texts of the user's own: in a CSV file per part, or a text file each in folders of classes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from lthsweep.data.class_folders import (
    TEST,
    TRAIN,
    class_numbers,
    files_of_classes,
    hold_out_test,
    own_path,
)
from lthsweep.data.decoded import Decoded, Stamp
from lthsweep.data.tokens import build_vocabulary, encode
from lthsweep.data.trees import FileTree, Tree, open_tree
from lthsweep.errors import DataError

__all__ = ["load_csv", "load_folder"]

_LENGTHS = (8, 4096)
_CSV_LIMIT = 2 << 30  # bytes of one CSV file
_FIELD_LIMIT = 64 << 20  # characters of one text
_COLUMNS = ("label", "text")

Texts = list[tuple[str, str]]
"""(class, text) per sample."""


def load_csv(options: Mapping[str, Any], root: Path) -> Decoded:
    """Read `train.csv` and `test.csv` of a folder or zip, or a single CSV file.

    The first line names the columns; `label` and `text` are read, others passed over. Where there is no `test.csv` (or
    `val.csv`), one text in five becomes the test set.

    Args:
        options: `path`; `tokens`, "word" or "char"; `vocabulary`, how many tokens at most; `length`, tokens of a text.
        root: where a relative path is looked for when it is not found below the working directory.

    Returns:
        Texts as numbers in the order of the files; classes in sorted order of their labels.

    Raises:
        MissingDataError: if there is nothing at `path`.
        DataError: if a file is not UTF-8 or no CSV with these columns, or the parts do not fit together.
    """
    path = own_path(options, root, "a folder with train.csv and test.csv (or of one CSV file)")
    with open_tree(path, limit=_CSV_LIMIT) as tree:
        train, test = _csv_parts(tree, str(path))
        alone = isinstance(tree, FileTree)
        return _decoded(
            _rows(tree.read(train), str(path) if alone else f"{path}/{train}"),
            _rows(tree.read(test), f"{path}/{test}") if test else [],
            options,
            str(path),
            tree.stamp(),
        )


def load_folder(options: Mapping[str, Any], root: Path) -> Decoded:
    """Read a folder of class folders of `.txt` files, or a zip of it.

    Args:
        options: as for `load_csv`.
        root: as for `load_csv`.

    Returns:
        Texts as numbers in sorted order of (class, name); classes in sorted order of the folders' names.

    Raises:
        MissingDataError: if there is nothing at `path`.
        DataError: if the layout is none of those understood, or a file is not UTF-8.
    """
    path = own_path(options, root, "a folder of class folders of .txt files")
    with open_tree(path) as tree:
        parts = files_of_classes(tree.names(), str(path), (".txt",), "texts")
        train, test = (
            [(label, _decode(tree.read(name), f"{path}/{name}")) for label, name in part] for part in parts
        )
        return _decoded(train, test, options, str(path), tree.stamp())


def _decoded(train: Texts, test: Texts, options: Mapping[str, Any], where: str, stamp: Stamp) -> Decoded:
    length, tokens = int(options.get("length", 64)), str(options.get("tokens", "word"))
    if not _LENGTHS[0] <= length <= _LENGTHS[1]:
        raise DataError(f"data.length = {length}; it must be within {_LENGTHS[0]}..{_LENGTHS[1]} tokens")
    classes, labels, test_labels = class_numbers(train, test, where, "texts", all_tested=True)
    texts, test_texts = [text for _, text in train], [text for _, text in test]
    if not test:
        kept, held_out = hold_out_test(labels)
        test_texts, test_labels = [texts[row] for row in held_out], labels[held_out]
        texts, labels = [texts[row] for row in kept], labels[kept]
    try:
        vocabulary = build_vocabulary(texts, int(options.get("vocabulary", 20_000)), tokens)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    return Decoded(
        encode(texts, vocabulary, length, tokens),
        labels,
        encode(test_texts, vocabulary, length, tokens),
        test_labels,
        classes,
        stamps=(stamp,),
        vocabulary=vocabulary,
    )


def _csv_parts(tree: Tree, where: str) -> tuple[str, str | None]:
    """Names of the training and the test file; a CSV file that is alone is the training file, whatever its name."""
    files = [name for name in tree.names() if name.lower().endswith(".csv")]
    if not files:
        raise DataError(
            f"{where} holds no CSV file; it needs train.csv, and test.csv if you have a split of your own"
        )
    by_stem: dict[str, list[str]] = {}
    for name in files:
        by_stem.setdefault(PurePosixPath(name).stem.lower(), []).append(name)
    train = _first(by_stem, TRAIN, where)
    test = _first(by_stem, TEST, where)
    if train is None and len(files) == 1 and test is None:
        return files[0], None
    if train is None:
        raise DataError(f"{where} holds {', '.join(files[:4])} but no train.csv; name the training file so")
    return train, test


def _first(by_stem: Mapping[str, Sequence[str]], stems: Sequence[str], where: str) -> str | None:
    found = next((by_stem[stem] for stem in stems if stem in by_stem), None)
    if found is not None and len(found) > 1:
        raise DataError(f"{where} holds {' and '.join(found[:3])}; leave one of them")
    return found[0] if found else None


def _rows(content: bytes, where: str) -> Texts:
    """(label, text) of every row of a CSV file with a line of column names."""
    lines = io.StringIO(_decode(content, where), newline="")
    rows: Texts = []
    with _long_fields():
        reader = csv.reader(lines, strict=True)
        try:
            columns = [name.strip().lower() for name in next(reader, [])]
            for name in _COLUMNS:
                if columns.count(name) != 1:
                    raise DataError(
                        f"{where}: its first line names the columns {', '.join(columns) or '(none)'}; there must be "
                        f"one {name!r}: write label,text there"
                    )
            label_at, text_at = (columns.index(name) for name in _COLUMNS)
            for row in reader:
                if not row:  # an empty line
                    continue
                if len(row) != len(columns):
                    raise DataError(
                        f"{where}, line {reader.line_num}: {len(row)} fields where the first line names "
                        f'{len(columns)}; put quotes around a text that holds a comma: "one, two"'
                    )
                if not row[label_at].strip():
                    raise DataError(
                        f"{where}, line {reader.line_num}: no label; write one or remove the line"
                    )
                rows.append((row[label_at].strip(), row[text_at]))
        except csv.Error as error:
            raise DataError(f"{where}, line {reader.line_num}: {error}; repair that line") from None
    if not rows:
        raise DataError(f"{where} holds column names but no texts; get the file again")
    return rows


@contextmanager
def _long_fields() -> Iterator[None]:
    """Texts may be longer than the 128 KiB that the csv module takes, a setting of the whole process."""
    before = csv.field_size_limit(_FIELD_LIMIT)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _decode(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where} is not UTF-8: byte 0x{content[error.start]:02x} at position {error.start:,}; save it as UTF-8 "
            f"(for Latin-1: `iconv -f latin1 -t utf-8`)"
        ) from None
