"""Texts of the user: one CSV file per part, or one text file per sample in class folders."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath

from lthsweep.data.class_folders import TEST, TRAIN, digest_of_parts, files_of_classes, numbered_parts
from lthsweep.data.decoded import Decoded
from lthsweep.data.file_tree import FileTree, open_tree
from lthsweep.data.files import Files
from lthsweep.data.source import sha256_hex
from lthsweep.data.tokens import build_vocabulary, encode
from lthsweep.errors import DataError

__all__ = ["read_csv", "read_folder"]

_CSV_LIMIT = 2 << 30  # bytes of one CSV file
_FIELD_LIMIT = 64 << 20  # characters of one text
_COLUMNS = ("label", "text")

Texts = list[tuple[str, str]]
"""(class, text) per sample."""


def read_csv(files: Files, *, path: str, tokens: str, vocabulary: int, length: int) -> Decoded:
    """Return the texts of `train.csv` and `test.csv` in a folder or zip, or of a single CSV file.

    The first line names the columns; `label` and `text` are read, others are ignored. Without a `test.csv` (or
    `val.csv`), one text in five becomes the test set.

    Args:
        files: gives the data root, in which a relative path is searched after the working directory.
        path: the folder, zip or file.
        tokens: name of a tokenizer.
        vocabulary: largest number of tokens.
        length: tokens of a text.

    Returns:
        Texts as token numbers in the order of the files; classes in sorted order of their labels.

    Raises:
        MissingDataError: if nothing exists at `path`.
        DataError: if a file is not UTF-8 or not a CSV file with these columns, or the parts do not fit together.
    """
    found = files.at_path(path, "a folder with train.csv and test.csv (or of one CSV file)")
    with open_tree(found, limit=_CSV_LIMIT) as tree:
        train, test = _csv_parts(tree)
        return _decoded(
            _rows(tree.read(train), str(found) if tree.single else f"{found}/{train}"),
            _rows(tree.read(test), f"{found}/{test}") if test else [],
            tree,
            "text_csv 1",
            (tokens, vocabulary, length),
        )


def read_folder(files: Files, *, path: str, tokens: str, vocabulary: int, length: int) -> Decoded:
    """Return the texts of a folder of class folders of `.txt` files, or of a zip of it.

    Args:
        files: as for `read_csv`.
        path: the folder or zip.
        tokens: as for `read_csv`.
        vocabulary: as for `read_csv`.
        length: as for `read_csv`.

    Returns:
        Texts as token numbers in sorted order of (class, name); classes in sorted order of the folders' names.

    Raises:
        MissingDataError: if nothing exists at `path`.
        DataError: if the layout is not understood, or a file is not UTF-8.
    """
    found = files.at_path(path, "a folder of class folders of .txt files")
    with open_tree(found) as tree:
        parts = files_of_classes(tree.names, str(found), (".txt",), "texts")
        train, test = (
            [(label, _unicode(tree.read(name), f"{found}/{name}")) for label, name in part] for part in parts
        )
        return _decoded(train, test, tree, "text_folder 1", (tokens, vocabulary, length))


def _decoded(
    train: Texts, test: Texts, tree: FileTree, reader: str, options: tuple[str, int, int]
) -> Decoded:
    """Return the texts as token numbers; `reader` is the name and version of the rules, a part of every run's key."""
    tokens, size, length = options
    where = str(tree.path)
    classes, training, testing = numbered_parts(train, test, where, "texts", all_tested=True)
    parts = (training, testing)
    hashes = [[sha256_hex(text.encode()) for text in part.values] for part in parts]
    try:
        vocabulary = build_vocabulary(training.values, size, tokens)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    return Decoded(
        encode(training.values, vocabulary, length, tokens),
        training.labels,
        encode(testing.values, vocabulary, length, tokens),
        testing.labels,
        classes,
        source=tree.source(digest_of_parts(reader, classes, parts, hashes)),
        vocabulary=vocabulary,
    )


def _csv_parts(tree: FileTree) -> tuple[str, str | None]:
    """Names of the training and the test file. A single CSV file is the training file, whatever its name."""
    names = [name for name in tree.names if name.lower().endswith(".csv")]
    if not names:
        raise DataError(f"{tree.path} holds no CSV file; add train.csv, and test.csv if you have a test part")
    by_stem: dict[str, list[str]] = {}
    for name in names:
        by_stem.setdefault(PurePosixPath(name).stem.lower(), []).append(name)
    train = _part(by_stem, TRAIN, tree)
    test = _part(by_stem, TEST, tree)
    if train is None and len(names) == 1 and test is None:
        return names[0], None
    if train is None:
        raise DataError(
            f"{tree.path} holds {', '.join(names[:4])} but no train.csv; rename the training file to train.csv"
        )
    return train, test


def _part(by_stem: Mapping[str, Sequence[str]], stems: Sequence[str], tree: FileTree) -> str | None:
    found = next((by_stem[stem] for stem in stems if stem in by_stem), None)
    if found is not None and len(found) > 1:
        raise DataError(f"{tree.path} holds {' and '.join(found[:3])}; keep one of them")
    return found[0] if found else None


def _rows(content: bytes, where: str) -> Texts:
    """(label, text) of every row of a CSV file whose first line names the columns."""
    lines = io.StringIO(_unicode(content, where), newline="")
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
                        f"{where}, line {reader.line_num}: {len(row)} fields, but the first line has {len(columns)}; "
                        'put quotes around a text with a comma: "one, two"'
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
    """Allow texts longer than the csv module's limit of 128 KiB, a setting of the whole process."""
    before = csv.field_size_limit(_FIELD_LIMIT)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _unicode(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where} is not UTF-8: byte 0x{content[error.start]:02x} at position {error.start:,}; save it as UTF-8 "
            f"(for Latin-1: `iconv -f latin1 -t utf-8`)"
        ) from None
