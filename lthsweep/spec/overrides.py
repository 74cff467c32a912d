"""`--set a.b=v`: a value of the file given on the command line."""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Sequence
from typing import Any

from lthsweep.spec.grid import GridSpec, axis_name
from lthsweep.spec.problems import Problem
from lthsweep.spec.schema import TABLES, Path, full_path, is_key, suggestion
from lthsweep.spec.settings import names_first, put

__all__ = ["apply_overrides"]

_DATES = (datetime.date, datetime.time)
_RIVALS = {"sparsity": "threshold", "threshold": "sparsity"}


def apply_overrides(
    tables: dict[str, Any], overrides: Sequence[str]
) -> tuple[dict[Path, str], list[Problem]]:
    """Set values in tables as read from a file, in place.

    A value is read as TOML, and as plain text where it is none: `grid.seed=[0,1]`,
    `train.optimizer.name=adam`. Of two overrides of one key the later holds, but an axis under two of its names is
    refused: who writes both takes them for two. Giving one of grid.sparsity and grid.threshold takes the other away.

    Returns:
        Path → override, for messages; and the problems of invalid overrides.
    """
    settings: dict[tuple[str, ...], Any] = {}
    given: dict[Path, str] = {}
    names: dict[Path, str] = {}
    problems = []
    for override in overrides:
        name, equals, text = override.partition("=")
        path = _path(name.strip())
        if not equals or path is None:
            path = (name.strip() or override,)
            problems.append(Problem(path, "write a key, an equals sign and a value: --set train.epochs=4"))
        elif len(path) == 1 and path[0] in TABLES:
            problems.append(Problem(path, f"is a table; set one of its keys, as in {_example(path[0])}"))
        elif not is_key(path):
            problems.append(Problem(path, suggestion(path), _value(text)))
        elif path[0] == "grid" and names.setdefault(path, name.strip()) != name.strip():
            problems.append(
                Problem(path, f"is given as {names[path]} too; keep one of the two", _value(text))
            )
        else:
            settings[path] = _value(text)
        given[path] = override
    for path, value in names_first(settings):
        rival = _RIVALS.get(path[1]) if path[0] == "grid" else None
        if rival and not any(other[:2] == ("grid", rival) for other in settings):
            grid = tables.get("grid")
            if isinstance(grid, dict):
                grid.pop(rival, None)
        put(tables, path, value)
    return given, problems


def _example(table: str) -> str:
    return f"--set {table}.{next(iter(TABLES[table].model_fields))}=…"


def _path(dotted: str) -> tuple[str, ...] | None:
    try:
        here: Any = tomllib.loads(f"{dotted} = 0") if "\n" not in dotted and "=" not in dotted else {}
    except tomllib.TOMLDecodeError:
        return None
    path = []
    while isinstance(here, dict) and len(here) == 1:
        [(name, here)] = here.items()
        path.append(name)
    return _in_grid(full_path(path)) if path else None


def _in_grid(path: tuple[str, ...]) -> tuple[str, ...]:
    """`grid.model.width` and `grid."sweep.model.width"` as the axis that they mean."""
    if path[0] != "grid" or len(path) < 2 or path[1] in GridSpec.model_fields:
        return path
    return ("grid", axis_name(".".join(path[1:])))


def _value(text: str) -> Any:
    text = text.strip()
    try:
        tables = tomllib.loads(f"v = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = tables["v"]
    return text if len(tables) > 1 or isinstance(value, _DATES) else value
