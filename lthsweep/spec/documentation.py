"""Every key with its description and allowed values: the file that `lthsweep init` writes, and the reference page."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from lthsweep.spec.fields import FileTable
from lthsweep.spec.grid_table import GridSpec
from lthsweep.spec.load import load_spec
from lthsweep.spec.schema import (
    TABLES,
    allowed,
    axis_names,
    choices,
    keys_of,
    marker,
    variant_groups,
    variants,
)
from lthsweep.spec.spec import Spec
from lthsweep.spec.text_forms import inline, inline_key

__all__ = ["commented_template", "reference_markdown"]

_START = "digits-mobilenetv2"
_WIDTH = 100

_HEAD = """\
A sweep for lthsweep. Every key is here; those that you delete stand at their defaults.

    lthsweep plan FILE     show the cost
    lthsweep run FILE      train the missing runs
    lthsweep query DIR     ask the table of tickets
"""

_AXES = """\
Any single value of [sweep.model], [sweep.data], [train] and [prune] may be an axis by its dotted name:
    "model.init" = ["kaiming_normal", "xavier_normal"]
    "train.optimizer.lr" = [0.05, 0.1]
"""


def commented_template(spec: Spec | None = None) -> str:
    """A file with every key explained, holding the values of `spec`; reading it gives an equal spec.

    Args:
        spec: the spec to write; by default the demo's study under the name my-sweep.
    """
    spec = spec or load_spec(_START, ["sweep.name=my-sweep"])
    lines = list(_comment(_HEAD))
    for name in TABLES:
        doc = Spec.model_fields[name].description or ""
        lines += ["", *_comment(doc), *_table(name, getattr(spec, name))]
    return "\n".join(lines) + "\n"


def _table(path: str, table: FileTable) -> Iterator[str]:
    yield f"[{path}]"
    inner = []
    for name in keys_of(type(table)):
        field, value = type(table).model_fields[name], getattr(table, name)
        if variants(field):
            inner.append((f"{path}.{name}", value, field))
            continue
        if len(choices(field)) != 1:  # `name` of a variant was explained above its table
            yield from _comment(f"{field.description} Must be {allowed(field)}.")
        yield f"{name} = {inline(value)}" if value is not None else f"# {name} = {inline(_example(field))}"
    if isinstance(table, GridSpec):
        yield from _comment(_AXES)
    for name, value in (table.model_extra or {}).items():  # axes, and options of the user's code
        yield f"{inline_key(name)} = {inline(value)}"
    for inner_path, value, field in inner:
        yield ""
        yield from _comment(f"{field.description} By name, with the keys of each:")
        for names, variant in variant_groups(field):
            keys = ", ".join(key for key in keys_of(variant) if key != "name")
            yield from _comment(f"{', '.join(names)}: {keys}", indent="  ")
        yield from _table(inner_path, value)


def _example(field: FieldInfo) -> object:
    assert field.examples, f"a key without a default needs an example: {field.description}"
    return field.examples[0]


def _comment(text: str, indent: str = "") -> Iterator[str]:
    for paragraph in text.rstrip().split("\n"):
        if paragraph.startswith(" ") or not paragraph:
            yield f"# {paragraph}".rstrip()
            continue
        for line in textwrap.wrap(paragraph, _WIDTH, break_long_words=False, break_on_hyphens=False):
            yield f"# {indent}{line}"


def reference_markdown() -> str:
    """Return the reference page: a section per table and variant, with allowed values and default of each key."""
    lines: list[str] = []
    for name, table in TABLES.items():
        lines += [f"## `[{name}]`", "", Spec.model_fields[name].description or "", ""]
        lines += _section(name, table)
    lines += [
        "## Axes of the grid",
        "",
        "Each of these can be a key of `[grid]`, in quotes, with a list:",
        "",
    ]
    lines += [", ".join(f"`{name}`" for name in axis_names()) + ".", ""]
    return "\n".join(lines)


def _section(path: str, table: type[FileTable]) -> Iterator[str]:
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
            yield from _section(f"{path}.{name}", special.inner)
        for selecting, variant in variant_groups(fields[name]):
            title = ", ".join(f'`name = "{choice}"`' for choice in selecting)
            yield from [f"### `[{path}.{name}]` with {title}", "", _doc(variant), ""]
            yield from _section(f"{path}.{name}", variant)


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


def _doc(table: type[FileTable]) -> str:
    return " ".join(inspect.cleandoc(table.__doc__ or "").split())
