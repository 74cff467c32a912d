"""Problems between the keys of a file, over all combinations of values of its dotted axes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Set

from lthsweep.spec.all_tables import Tables
from lthsweep.spec.grid_table import AxisValue, GridSpec
from lthsweep.spec.problems import NOTHING, Problem, dotted, written
from lthsweep.spec.rules import broken_rules
from lthsweep.spec.schema import TABLES, Path, axis_names, axis_path, suggestion
from lthsweep.spec.settings import with_settings
from lthsweep.usercode import is_code, is_library

__all__ = ["problems_between"]

_Axes = dict[str, tuple[AxisValue, ...]]
_AMOUNTS: tuple[Path, ...] = (("grid", "sparsity"), ("grid", "threshold"))


def problems_between(tables: Tables) -> list[Problem]:
    """Problems between the keys of a file, over all values of its dotted axes.

    Axes of different tables are checked separately: 100 learning rates and 100 widths are 200 combinations, not
    10,000. Rules between two varied tables are checked when the plan makes each combination.

    Args:
        tables: those that could not be read are missing, and what needs them is not checked.
    """
    if "grid" not in tables.model_fields_set:
        return broken_rules(tables, TABLES.keys())
    axes = tables.grid.dotted
    unknown = [name for name in axes if name not in axis_names() and not _is_own_option(tables, name)]
    problems = [Problem(("grid", name), suggestion(("grid", name)), axes[name]) for name in unknown]
    if not unknown:
        problems += _amounts(tables.grid)
    varied: dict[str, _Axes] = {}  # by table
    for name, values in axes.items():
        if name not in unknown:
            varied.setdefault(_path(name)[0], {})[name] = values
    problems += broken_rules(tables, TABLES.keys(), ignored=varied.keys())
    for table, its_axes in varied.items():
        if table in tables.model_fields_set:
            problems += _combinations(tables, its_axes, ignored=varied.keys() - {table})
    return problems


def _path(axis: str) -> tuple[str, ...]:
    path = axis_path(axis)
    assert path is not None, axis
    return path


def _is_own_option(tables: Tables, axis: str) -> bool:
    """True if an axis can vary an option of the user's code or a library, which the file or an axis names."""
    path = axis_path(axis)
    if path is None or "sweep" not in tables.model_fields_set:
        return path is not None
    named = getattr(tables.sweep, path[1]).name
    names = map(str, (named, *tables.grid.dotted.get(f"{path[1]}.name", ())))
    return any(is_code(name) or is_library(name) for name in names)


def _amounts(grid: GridSpec) -> Iterator[Problem]:
    if grid.sparsity is not None and grid.threshold is not None:
        text = (
            "excludes grid.sparsity: a weight goes by its rank or by its magnitude; keep one of the two axes"
        )
        yield Problem(("grid", "threshold"), text, grid.threshold, _AMOUNTS)
    if grid.sparsity is None and grid.threshold is None:
        text = "does not set how much to prune: it needs one of the axes sparsity and threshold"
        yield Problem(("grid",), text, involved=_AMOUNTS)


def _combinations(tables: Tables, axes: _Axes, ignored: Set[str]) -> list[Problem]:
    """Problems with the values of the dotted axes of one table, for each of their combinations."""
    problems: dict[tuple[Path, str], Problem] = {}
    for indices in itertools.product(*(range(len(values)) for values in axes.values())):
        chosen = dict(zip(axes, indices, strict=True))
        settings = {name: axes[name][index] for name, index in chosen.items()}
        changed, inner = with_settings(tables, settings)
        varied = tables.model_copy(update=changed)
        for problem in inner or broken_rules(varied, changed.keys(), ignored):
            name = _to_blame(problem, axes)
            if name is None:  # wrong for all values of the axes
                problems[problem.path, problem.text] = problem
                continue
            path: Path = ("grid", name, chosen[name])
            others = {other: value for other, value in settings.items() if other != name}
            if (path, problem.text) not in problems:
                text = _reworded(problem, _path(name), others)
                involved = (problem.path, *problem.involved)
                problems[path, problem.text] = Problem(path, text, settings[name], involved)
    return list(problems.values())


def _to_blame(problem: Problem, axes: Iterable[str]) -> str | None:
    """The axis that varies the key with the problem, or one that is involved in it.

    A `name` varies all keys of its table, which may be of another variant than the file's.
    """
    paths = {name: _path(name) for name in axes}
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
