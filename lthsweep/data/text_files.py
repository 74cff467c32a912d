"""Texts of the user: one CSV file per part, or one text file per sample in class folders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from lthsweep.data.csv_table import decode_text, read_rows
from lthsweep.data.decoded import Decoded
from lthsweep.data.file_tree import FileTree, open_tree
from lthsweep.data.files import Files
from lthsweep.data.folders import ending_of
from lthsweep.data.layouts import read_layout
from lthsweep.data.parts import Labeled, digest_of_parts, numbered_parts, part_named, repeated_samples
from lthsweep.data.source import Notice, Report, sha256_hex
from lthsweep.data.tokens import UNKNOWN, build_vocabulary, encode, is_longer
from lthsweep.errors import DataError

__all__ = ["read_csv", "read_folder"]

_CSV_LIMIT = 2 << 30  # bytes of one CSV file
_LOST_CHARACTER = "\ufffd"


@dataclass(frozen=True)
class _Texts:
    """Texts by name, and how they were found.

    Attributes:
        train, test: (class, name of a text).
        content: name → text. The name is a file, or a line of one.
        layout, unused: as in `Report`.
    """

    train: Labeled
    test: Labeled
    content: Mapping[str, str]
    layout: str
    unused: tuple[Notice, ...]


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
        train_name, test_name = _csv_parts(tree)
        content: dict[str, str] = {}
        train = _csv_texts(tree, train_name, content)
        test = _csv_texts(tree, test_name, content) if test_name else []
        layout = train_name + (f" and {test_name}" if test_name else "")
        unused = _unused_files(tree, {train_name, test_name})
        return _decoded(
            _Texts(train, test, content, layout, unused), tree, "text_csv 2", (tokens, vocabulary, length)
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
        layout, unused = read_layout(tree, (".txt",), "texts")
        names = [name for part in (layout.train, layout.test) for _, name in part]
        content = {name: decode_text(tree.read(name), f"{found}/{name}") for name in names}
        return _decoded(
            _Texts(layout.train, layout.test, content, layout.text, unused),
            tree,
            "text_folder 2",
            (tokens, vocabulary, length),
        )


def _decoded(texts: _Texts, tree: FileTree, reader: str, options: tuple[str, int, int]) -> Decoded:
    """Return the texts as token numbers; `reader` is the name and version of the rules, a part of every run's key."""
    tokens, size, length = options
    where = str(tree.path)
    classes, *parts = numbered_parts(texts.train, texts.test, where, "texts")
    train, test = parts
    content = [[texts.content[name] for name in part.values] for part in parts]
    hashes = [[sha256_hex(text.encode()) for text in part] for part in content]
    try:
        vocabulary = build_vocabulary(content[0], size, tokens)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    rows = [encode(part, vocabulary, length, tokens) for part in content]
    text = texts.layout if texts.test else f"{texts.layout}; one in five is a test sample"
    unknown = int((rows[1] == vocabulary.index(UNKNOWN)).sum())
    remarks = (
        *_remarks(texts.content, length, tokens),
        *(
            (
                Notice(
                    f"test tokens that are not in the vocabulary, of {int((rows[1] != 0).sum()):,}", unknown
                ),
            )
            if unknown
            else ()
        ),
        *repeated_samples((train, test), hashes),
    )
    digest = digest_of_parts(reader, classes, (train, test), hashes)
    return Decoded(
        rows[0],
        train.labels,
        rows[1],
        test.labels,
        classes,
        source=tree.source(digest, Report(text, texts.unused, remarks)),
        vocabulary=vocabulary,
    )


def _remarks(content: Mapping[str, str], length: int, tokens: str) -> tuple[Notice, ...]:
    """Texts that are shortened, empty, or lost characters before."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for name, text in content.items():
        if is_longer(text, length, tokens):
            kinds[f"texts longer than data.length = {length} tokens, cut at the end"].append(name)
        if not text.strip():
            kinds["empty texts"].append(name)
        if _LOST_CHARACTER in text:
            kinds[
                "texts with the character U+FFFD, which replaces others that a program could not read"
            ].append(name)
    return tuple(notice for reason, names in kinds.items() for notice in Notice.of(reason, names))


def _csv_parts(tree: FileTree) -> tuple[str, str | None]:
    """Names of the training and the test file. A single CSV file is the training file, whatever its name."""
    names = [name for name in tree.names if name.lower().endswith(".csv")]
    if not names:
        raise DataError(f"{tree.path} holds no CSV file; add train.csv, and test.csv if you have a test part")
    by_part: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_part[part_named(PurePosixPath(name).stem) or ""].append(name)
    if by_part.keys() == {""} and len(names) == 1:
        return names[0], None
    for part, found in by_part.items():
        if part and len(found) > 1:
            raise DataError(f"{tree.path} holds {' and '.join(found[:3])}; keep one of them")
    if not by_part["train"]:
        raise DataError(
            f"{tree.path} holds {', '.join(names[:4])} but no train.csv; rename the training file to train.csv"
        )
    return by_part["train"][0], next(iter(by_part["test"] or by_part["val"]), None)


def _csv_texts(tree: FileTree, name: str, content: dict[str, str]) -> list[tuple[str, str]]:
    """(class, name of a text) of each row; the texts are added to `content`."""
    rows = read_rows(tree.read(name), str(tree.path) if tree.single else f"{tree.path}/{name}", ("text",))
    found = []
    for row in rows:
        line = f"{name}, {row.where.rpartition(', ')[2]}"
        content[line] = row.fields["text"]
        found.append((row.label, line))
    return found


def _unused_files(tree: FileTree, used: set[str | None]) -> tuple[Notice, ...]:
    kinds: dict[str, list[str]] = defaultdict(list)
    for name in tree.names:
        if name not in used:
            reason = f"files with {ending_of(name)}, which are not read as texts"
            kinds["CSV files of no used part" if name.lower().endswith(".csv") else reason].append(name)
    return tree.passed + tuple(
        notice for reason, names in kinds.items() for notice in Notice.of(reason, names)
    )
