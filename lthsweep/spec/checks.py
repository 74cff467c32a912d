"""Everything that is wrong between the keys of a file, over all combinations of its dotted axes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping

from lthsweep.spec.grid import AxisValue, GridSpec
from lthsweep.spec.problems import NOTHING, Problem, dotted, written
from lthsweep.spec.rules import Tables, check_tables
from lthsweep.spec.schema import TABLES, Path, axis_names, suggestion
from lthsweep.spec.settings import with_settings

__all__ = ["check_all"]

_AMOUNTS: tuple[Path, ...] = (("grid", "sparsity"), ("grid", "threshold"))


def check_all(tables: Tables) -> list[Problem]:
    """Everything that is wrong between the keys of a file, over all values of its dotted axes.

    Args:
        tables: name → table. Those that could not be read are lacking, and what needs them is not checked.
    """
    grid = tables.get("grid")
    if not isinstance(grid, GridSpec):
        return check_tables(tables, TABLES)
    unknown = [
        Problem(("grid", name), suggestion(("grid", name)), values)
        for name, values in grid.dotted.items()
        if name not in axis_names()
    ]
    units: dict[Path, dict[str, tuple[AxisValue, ...]]] = {}
    for name, values in grid.dotted.items():
        if name in axis_names():
            units.setdefault(_unit(name), {})[name] = values
    varied = {unit[0] for unit in units}
    problems = [*unknown, *([] if unknown else _amounts(grid))]
    problems += check_tables(tables, TABLES.keys() - varied)
    for axes in units.values():
        problems += _combinations(tables, axes)
    return problems


def _unit(axis: str) -> Path:
    """The part of the file that is valid or not on its own; axes of different units are checked apart."""
    path = axis_names()[axis]
    return path[:2] if path[0] == "sweep" else path[:1]


def _amounts(grid: GridSpec) -> Iterator[Problem]:
    if grid.sparsity is not None and grid.threshold is not None:
        text = (
            "excludes grid.sparsity: a weight goes by its rank or by its magnitude; keep one of the two axes"
        )
        yield Problem(("grid", "threshold"), text, grid.threshold, _AMOUNTS)
    if grid.sparsity is None and grid.threshold is None:
        text = "does not set how much to prune: it needs one of the axes sparsity and threshold"
        yield Problem(("grid",), text, involved=_AMOUNTS)


def _combinations(tables: Tables, axes: Mapping[str, tuple[AxisValue, ...]]) -> list[Problem]:
    """Problems with the values of dotted axes that share a unit, for each of their combinations."""
    if any(axis_names()[name][0] not in tables for name in axes):
        return []
    problems: dict[tuple[Path, str], Problem] = {}
    for indices in itertools.product(*(range(len(values)) for values in axes.values())):
        chosen = dict(zip(axes, indices, strict=True))
        settings = {name: axes[name][index] for name, index in chosen.items()}
        changed, inner = with_settings(tables, settings)
        for problem in inner or check_tables({**tables, **changed}, changed):
            name = _to_blame(problem, axes)
            if name is None:  # wrong for all values of the axes
                problems[problem.path, problem.text] = problem
                continue
            path: Path = ("grid", name, chosen[name])
            others = {other: value for other, value in settings.items() if other != name}
            if (path, problem.text) not in problems:
                text = _reworded(problem, axis_names()[name], others)
                involved = (problem.path, *problem.involved)
                problems[path, problem.text] = Problem(path, text, settings[name], involved)
    return list(problems.values())


def _to_blame(problem: Problem, axes: Iterable[str]) -> str | None:
    """The axis that varies the key with the problem, or one that is involved in it.

    A `name` varies all keys of its table, which may be of another variant than the file's.
    """
    paths = {name: axis_names()[name] for name in axes}
    tables = {name: path[:-1] for name, path in paths.items() if path[-1] == "name"}
    for blamed in (problem.path, *problem.involved):
        for name, start in [*paths.items(), *tables.items()]:
            if blamed[: len(start)] == start:
                return name
    return None


def _reworded(problem: Problem, axis: Path, others: Mapping[str, AxisValue]) -> str:
    text = problem.text
    if problem.path != axis:
        found = "" if problem.found is NOTHING else f" = {written(problem.found)}"
        text = f"with this value, {dotted(problem.path)}{found} {text}"
    if others:
        text += f" (seen with {', '.join(f'{name} = {written(value)}' for name, value in others.items())})"
    return text
