"""Find a run by the beginning of its key, or by a cell such as `sparsity=0.8,rewind_epoch=1,seed=0`."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

from lthsweep.errors import SpecError, UnknownNameError
from lthsweep.plan.run import Cell, Plan, Run
from lthsweep.spec.grid_table import axis_name

__all__ = ["find_run"]

_MOST = 10
"""So many candidates are listed before "and … more"."""


def find_run(plan: Plan, given: str) -> Run:
    """The one run that matches.

    Args:
        plan: all runs.
        given: the beginning of a key; or axes of the grid with values, as many as it takes. `sparsity=0` is the dense
            run, whether it is on the grid or not.

    Raises:
        SpecError: if none or several are meant; the message lists what would match.
    """
    if "=" in given:
        return _by_axes(plan, given)
    found = [run for key, run in plan.runs.items() if key.startswith(given)]
    if not found:
        raise SpecError(
            f"{given!r} names no run of this sweep; `lthsweep plan SWEEP --runs` lists the keys, "
            f"and a cell works too: {_example(plan)}"
        )
    return _only(found, f"{given!r} begins", "write more of the key")


def _by_axes(plan: Plan, given: str) -> Run:
    wanted = _parse(plan, given)
    answering = {cell.run for cell in plan.cells if _matches(cell, wanted)}
    if not answering and _is_written(0, wanted.get("sparsity", "")):
        rest = {name: value for name, value in wanted.items() if name != "sparsity"}
        answering = {plan[cell.run].trunk for cell in plan.cells if _matches(cell, rest)}
    found = [run for key, run in plan.runs.items() if key in answering]
    if not found:
        raise SpecError(f"{given!r} names no cell of this sweep; its grid has {_values(plan.cells, wanted)}")
    unsaid = [name for name, values in _axes(plan.cells).items() if name not in wanted and len(values) > 1]
    return _only(found, f"{given!r} means", f"add {', '.join(unsaid) or 'the beginning of a key'}")


def _parse(plan: Plan, given: str) -> dict[str, str]:
    axes = _axes(plan.cells)
    wanted = {}
    for part in given.split(","):
        name, equals, value = (text.strip() for text in part.partition("="))
        if not equals or not value:
            raise SpecError(
                f"{part!r} in {given!r} is not an axis with a value; write for example {_example(plan)}"
            )
        name = axis_name(name)
        if name not in axes and name != "sparsity":
            raise UnknownNameError.of("axis", name, known=axes)
        if name in wanted:
            raise SpecError(f"{name} is there twice in {given!r}; keep one of them")
        wanted[name] = value
    return wanted


def _matches(cell: Cell, wanted: Mapping[str, str]) -> bool:
    values = dict(cell.values)
    return all(name in values and _is_written(values[name], text) for name, text in wanted.items())


def _is_written(value: object, text: str) -> bool:
    """Whether `text` is a way to write a value: 0.80 for 0.8, 500it, true or True."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(text) == value
        except ValueError:
            return False
    return text in (str(value), json.dumps(value))


def _axes(cells: Sequence[Cell]) -> dict[str, dict[str, None]]:
    """Axis → its values as text, in the order of the grid."""
    axes: dict[str, dict[str, None]] = {}
    for cell in cells:
        for name, value in cell.values:
            axes.setdefault(name, {})[_text(value)] = None
    return axes


def _values(cells: Sequence[Cell], names: Collection[str]) -> str:
    axes = _axes(cells)
    return "; ".join(f"{name} = {_some(list(axes[name]))}" for name in axes if name in names)


def _text(value: object) -> str:
    return (
        f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
    )


def _example(plan: Plan) -> str:
    """The last cell, written as it may be given."""
    return ",".join(f"{name}={_text(value)}" for name, value in plan.cells[-1].values)


def _only(found: Sequence[Run], beginning: str, advice: str) -> Run:
    if len(found) > 1:
        listed = _some([f"{run.key[:8]} ({run.describe()})" for run in found])
        raise SpecError(f"{beginning} {len(found)} runs: {listed}; {advice}")
    return found[0]


def _some(texts: Sequence[str]) -> str:
    rest = len(texts) - _MOST
    return ", ".join(texts[:_MOST]) + (f" and {rest} more" if rest > 0 else "")
