"""Every key of the file as Markdown, from the fields that read it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from lthsweep.spec.base import Table
from lthsweep.spec.schema import TABLES, allowed, axis_names, keys_of, marker, variants
from lthsweep.spec.spec import Spec
from lthsweep.spec.toml_text import inline

__all__ = ["reference_markdown"]


def reference_markdown() -> str:
    """Return the reference page: a section per table and variant, with allowed values and default of each key."""
    lines: list[str] = []
    for name, table in TABLES.items():
        lines += [f"## `[{name}]`", "", Spec.model_fields[name].description or "", ""]
        lines += _table(name, table)
    lines += [
        "## Axes of the grid",
        "",
        "Each of these can be a key of `[grid]`, in quotes, with a list:",
        "",
    ]
    lines += [", ".join(f"`{name}`" for name in axis_names()) + ".", ""]
    return "\n".join(lines)


def _table(path: str, table: type[Table]) -> Iterator[str]:
    fields = table.model_fields
    names = keys_of(table)
    yield "| key | must be | default | description |"
    yield "|---|---|---|---|"
    for name in names:
        yield _row(name, fields[name])
    yield ""
    for name in names:
        special = marker(fields[name])
        if special and special.inner:
            yield from [f"### `{path}.{name} = {{ … }}`", "", _doc(special.inner), ""]
            yield from _table(f"{path}.{name}", special.inner)
        for variant in dict.fromkeys(variants(fields[name]).values()):
            choices = [choice for choice, other in variants(fields[name]).items() if other is variant]
            title = ", ".join(f'`name = "{choice}"`' for choice in choices)
            yield from [f"### `[{path}.{name}]` with {title}", "", _doc(variant), ""]
            yield from _table(f"{path}.{name}", variant)


def _row(name: str, field: FieldInfo) -> str:
    cells = [f"`{name}`", allowed(field), _default(field), field.description or ""]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        made = field.default_factory()  # type: ignore[call-arg]
        return f"`{inline(made.model_dump())}`"
    if field.default is PydanticUndefined:
        return "required"
    return "none" if field.default is None else f"`{inline(field.default)}`"


def _doc(table: type[Table]) -> str:
    return " ".join(inspect.cleandoc(table.__doc__ or "").split())
