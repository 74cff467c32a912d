"""Positions of keys and list elements in a TOML text.

`tomllib` gives values without positions. This small scanner gives positions without values: it parses only as much
of TOML as it takes to step over values, and is right on texts that `tomllib` accepts. On others it goes as
far as it can, which is enough to say where a duplicate was first written.
"""

from __future__ import annotations

import bisect
import contextlib
import re
import tomllib
from dataclasses import dataclass, field

__all__ = ["Mark", "Marks", "locate"]

_Path = tuple[str | int, ...]

_STRING = re.compile(r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'', re.DOTALL)
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]+")
_SPACE = re.compile(r"[ \t]*")


@dataclass(frozen=True)
class Mark:
    """A place in a text: line and column count from 1, width in characters."""

    line: int
    column: int
    width: int


@dataclass(frozen=True)
class Marks:
    """The places in a text.

    Attributes:
        places: path → first position of its key, table header or list element.
        duplicates: (path, first place, second place) of keys and tables that are there twice.
    """

    places: dict[_Path, Mark] = field(default_factory=dict)
    duplicates: list[tuple[_Path, Mark, Mark]] = field(default_factory=list)


def locate(text: str) -> Marks:
    """The places of all keys and list elements of a TOML text; as many as can be found if it is broken."""
    scanner = _Scanner(text)
    with contextlib.suppress(_Lost):
        scanner.document()
    return scanner.marks


class _Lost(Exception):
    """The text is not TOML from here on."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.marks = Marks()
        self._line_starts = [0] + [found.end() for found in re.finditer("\n", text)]
        self._arrays: dict[_Path, int] = {}

    def document(self) -> None:
        table: _Path = ()
        while self._skip(_BLANK) < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> _Path:
        start = self.at
        double = self.text.startswith("[[", start)
        self.at += 2 if double else 1
        *parents, name = self._key()
        path: _Path = ()
        for parent in parents:
            path = self._latest((*path, parent))
        path = (*path, name) if double else self._latest((*path, name))
        self._take("]]" if double else "]")
        if double:
            count = self._arrays.get(path, 0)
            self._arrays[path] = count + 1
            self._mark(path, start, self.at, repeats=True)
            path = (*path, count)
        self._mark(path, start, self.at)
        return path

    def _latest(self, path: _Path) -> _Path:
        """The latest element of a list of tables; another path as it is."""
        return (*path, self._arrays[path] - 1) if path in self._arrays else path

    def _pair(self, table: _Path) -> None:
        self._skip(_SPACE)
        start = self.at
        key = self._key()
        end = self.at
        for length in range(1, len(key)):  # `a.b = 1` opens the table a
            self._mark((*table, *key[:length]), start, end, repeats=True)
        path = (*table, *key)
        self._mark(path, start, end)
        self._skip(_SPACE)
        self._take("=")
        self._value(path)

    def _key(self) -> list[str]:
        parts = []
        while True:
            self._skip(_SPACE)
            start = self.at
            bare = _BARE.match(self.text, start)
            quoted = _STRING.match(self.text, start)
            found = bare or quoted
            if not found:
                raise _Lost
            self.at = found.end()
            parts.append(found[0] if bare else self._unquote(found[0]))
            end = self.at
            self._skip(_SPACE)
            if not self.text.startswith(".", self.at):
                self.at = end
                return parts
            self.at += 1

    def _value(self, path: _Path) -> None:
        self._skip(_SPACE)
        head = self.text[self.at : self.at + 1]
        if head == "[":
            self._array(path)
        elif head == "{":
            self._inline(path)
        else:
            found = _STRING.match(self.text, self.at) or _SCALAR.match(self.text, self.at)
            if not found:
                raise _Lost
            self.at = found.end()

    def _array(self, path: _Path) -> None:
        self.at += 1
        count = 0
        while self._skip(_BLANK) < len(self.text) and self.text[self.at] != "]":
            start = self.at
            self._value((*path, count))
            width = len(self.text[start : self.at].split("\n")[0].rstrip())
            self._mark((*path, count), start, start + width)
            count += 1
            self._skip(_BLANK)
            if self.text.startswith(",", self.at):
                self.at += 1
        self._take("]")

    def _inline(self, path: _Path) -> None:
        self.at += 1
        while self._skip(_BLANK) < len(self.text) and self.text[self.at] != "}":
            self._pair(path)
            self._skip(_BLANK)
            if self.text.startswith(",", self.at):
                self.at += 1
        self._take("}")

    def _mark(self, path: _Path, start: int, end: int, *, repeats: bool = False) -> None:
        line = bisect.bisect_right(self._line_starts, start)
        mark = Mark(line, start - self._line_starts[line - 1] + 1, end - start)
        first = self.marks.places.setdefault(path, mark)
        inside = any(path[: len(known)] == known for known, _, _ in self.marks.duplicates)
        if first is not mark and not repeats and not inside:
            self.marks.duplicates.append((path, first, mark))

    def _unquote(self, quoted: str) -> str:
        try:
            return next(iter(tomllib.loads(f"{quoted} = 0")))
        except tomllib.TOMLDecodeError:
            raise _Lost from None

    def _take(self, wanted: str) -> None:
        if not self.text.startswith(wanted, self.at):
            raise _Lost
        self.at += len(wanted)

    def _skip(self, what: re.Pattern[str]) -> int:
        found = what.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return self.at
