"""Reading a CSV file of the user whose first line names the columns, and text files in general, without guessing."""

from __future__ import annotations

import codecs
import csv
import io
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from lthsweep.errors import DataError

__all__ = ["Row", "decode_text", "read_columns", "read_rows"]

_FIELD_LIMIT = 64 << 20  # characters of one field
_MARKS = (  # byte order marks; that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Row:
    """One row of a CSV file.

    Attributes:
        where: file and line, for messages.
        label: the class, without surrounding blanks, in Unicode form NFC.
        fields: column → value, of the columns that were asked for and exist.
    """

    where: str
    label: str
    fields: Mapping[str, str]


def read_rows(
    content: bytes, where: str, required: Sequence[str], optional: Sequence[str] = ()
) -> tuple[Row, ...]:
    """Return the rows of a CSV file with a column `label`, in their order; empty lines are no rows.

    Args:
        content: the file.
        where: the file, for messages.
        required: names of columns next to `label`, lower case; other columns are ignored.
        optional: names of columns that can be missing.

    Raises:
        DataError: if the file is not UTF-8 (or UTF-16 with its mark), has no such columns, a row has another number of
            fields or no label, or there are no rows.
    """
    reader = csv.reader(io.StringIO(decode_text(content, where), newline=""), strict=True)
    rows = []
    with _long_fields():
        try:
            columns = _columns(next(reader, []))
            at = _positions(columns, where, ("label", *required), optional)
            for fields in reader:
                if not fields:
                    continue
                line = f"{where}, line {reader.line_num}"
                if len(fields) != len(columns):
                    raise DataError(
                        f"{line}: {len(fields)} fields, but the first line has {len(columns)}; "
                        'put quotes around a text with a comma: "one, two"'
                    )
                label = unicodedata.normalize("NFC", fields[at["label"]].strip())
                if not label:
                    raise DataError(f"{line}: no label; write one or remove the line")
                rows.append(Row(line, label, {name: fields[at[name]] for name in at}))
        except csv.Error as error:
            raise DataError(f"{where}, line {reader.line_num}: {error}; repair that line") from None
    if not rows:
        raise DataError(f"{where} holds column names but no {required[0]}s; get the file again")
    return tuple(rows)


def read_columns(content: bytes) -> tuple[str, ...]:
    """Return the names of the columns of a CSV file, lower case; none if it is not readable."""
    try:
        return _columns(next(csv.reader(io.StringIO(decode_text(content, ""), newline="")), []))
    except (DataError, csv.Error):
        return ()


def decode_text(content: bytes, where: str) -> str:
    """Return the characters of a text file: UTF-8, or UTF-16 or UTF-32 with a byte order mark.

    Raises:
        DataError: if it has another encoding. No character is guessed or replaced.
    """
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8-sig")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where} is not {encoding[:6].upper().rstrip('-')}: byte 0x{content[error.start]:02x} at position "
            f"{error.start:,}; save it as UTF-8 (for Latin-1: `iconv -f latin1 -t utf-8`)"
        ) from None
    if "\0" in text:
        raise DataError(
            f"{where} is not UTF-8: it contains NUL characters, as UTF-16 and binary files do; save it as UTF-8 "
            f"(`iconv -f utf-16le -t utf-8`)"
        )
    return text


def _columns(fields: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.strip().lower() for name in fields)


def _positions(
    columns: Sequence[str], where: str, required: Sequence[str], optional: Sequence[str]
) -> Mapping[str, int]:
    for name in (*required, *optional):
        count = columns.count(name)
        if count > 1 or (count == 0 and name in required):
            separated = " with commas between them" if any(mark in "".join(columns) for mark in ";\t") else ""
            raise DataError(
                f"{where}: its first line names the columns {', '.join(columns) or '(none)'}; there must be one "
                f"{name!r}: write {','.join(required)} there{separated}"
            )
    return {name: columns.index(name) for name in (*required, *optional) if name in columns}


@contextmanager
def _long_fields() -> Iterator[None]:
    """Allow texts longer than the csv module's limit of 128 KiB, a setting of the whole process."""
    before = csv.field_size_limit(_FIELD_LIMIT)
    try:
        yield
    finally:
        csv.field_size_limit(before)
