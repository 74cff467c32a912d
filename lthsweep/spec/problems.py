"""One thing that is wrong in a file, and how all of them are shown at once.

The message alone must suffice to fix the file: it has the position (file, line, key, and the line
itself), the value found, the allowed values, and the nearest valid name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lthsweep.errors import SpecError
from lthsweep.spec.positions import Mark, locate
from lthsweep.spec.schema import Path
from lthsweep.spec.text_forms import inline, inline_key

__all__ = ["NOTHING", "Origin", "Problem", "dotted", "error_of", "excerpt", "written"]

NOTHING = object()
"""Found where a value is missing."""

_LONGEST = 60


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: the key to blame.
        text: the error and the allowed values.
        found: the value there; `NOTHING` if none.
        involved: other keys without which it would be right.
    """

    path: Path
    text: str
    found: object = NOTHING
    involved: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Origin:
    """Where values came from, for messages.

    Attributes:
        name: the file or preset; "" for values that were never in a file.
        text: its content.
        overrides: path → the override that set it, as given.
    """

    name: str = ""
    text: str = ""
    overrides: Mapping[Path, str] = field(default_factory=dict)

    def override(self, path: Path) -> str | None:
        """The override that set the key or a table around it."""
        return next((self.overrides[start] for start in _starts(path) if start in self.overrides), None)


def _starts(path: Path) -> Iterator[Path]:
    return (path[:length] for length in range(len(path), 0, -1))


def _mark(marks: Mapping[Path, Mark], path: Path) -> Mark | None:
    """Position of the key, or of the nearest enclosing table in the file."""
    for start in _starts(path):
        for form in _forms(start):
            if form in marks:
                return marks[form]
    return None


def _forms(path: Path) -> Iterator[Path]:
    """The ways to write a path; an axis may be in quotes or not, with or without its table in front."""
    yield path
    if path[0] == "grid" and len(path) > 1:
        for name in (str(path[1]), f"sweep.{path[1]}", str(path[1]).removeprefix("prune.")):
            yield ("grid", name, *path[2:])
            yield ("grid", *name.split("."), *path[2:])


def dotted(path: Path) -> str:
    """A path as it is written: `train.optimizer.lr`, `grid."model.init"[1]`."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            out += ("." if out else "") + inline_key(part)
    return out


def written(value: object) -> str:
    """A value as TOML on one line, cut after 60 characters."""
    text = inline(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def error_of(problems: Sequence[Problem], origin: Origin) -> SpecError:
    """All problems of a file in one error, in the order of its lines."""
    unique = {(problem.path, problem.text): problem for problem in problems}.values()
    places = locate(origin.text).places
    last = Mark(len(origin.text) + 1, 1, 1)
    placed = [
        (None if origin.override(problem.path) else _mark(places, problem.path), problem)
        for problem in unique
    ]
    placed.sort(key=lambda pair: ((pair[0] or last).line, (pair[0] or last).column))
    shown = [_show(problem, mark, origin) for mark, problem in placed]
    if len(shown) == 1:
        return SpecError(shown[0])
    return SpecError(f"{len(shown)} problems in {origin.name or 'the settings'}:\n\n" + "\n\n".join(shown))


def _show(problem: Problem, mark: Mark | None, origin: Origin) -> str:
    found = "" if problem.found is NOTHING else f" = {written(problem.found)}"
    override = origin.override(problem.path)
    message = f"{dotted(problem.path)}{found}: {problem.text}"
    if override:
        return f"--set {override}: {message}"
    if not mark:
        return f"{origin.name}: {message}" if origin.name else message
    return f"{origin.name}:{mark.line}: {message}\n{excerpt(origin.text, mark)}"


def excerpt(text: str, mark: Mark) -> str:
    """The line of the file with the place underlined."""
    lines = text.splitlines()
    line = lines[mark.line - 1].replace("\t", " ") if mark.line <= len(lines) else ""
    number = str(mark.line)
    caret = " " * (mark.column - 1) + "^" * max(1, min(mark.width, len(line) - mark.column + 1))
    return f"  {number} | {line}\n  {' ' * len(number)} | {caret}"
