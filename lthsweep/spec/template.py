"""The file that `lthsweep init` writes: every key with its description and allowed values."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.fields import FieldInfo

from lthsweep.spec.base import Table
from lthsweep.spec.grid import GridSpec
from lthsweep.spec.load import load_spec
from lthsweep.spec.schema import TABLES, allowed, choices, keys_of, variants
from lthsweep.spec.spec import Spec
from lthsweep.spec.toml_text import inline, inline_key

__all__ = ["commented_template"]

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


def _table(path: str, table: Table) -> Iterator[str]:
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
        for name, values in table.dotted.items():
            yield f"{inline_key(name)} = {inline(values)}"
    for inner_path, value, field in inner:
        yield ""
        yield from _comment(f"{field.description} By name, with the keys of each:")
        for choice, keys in _alternatives(variants(field)):
            yield from _comment(f"{choice}: {keys}", indent="  ")
        yield from _table(inner_path, value)


def _alternatives(known: Mapping[str, type[Table]]) -> Iterator[tuple[str, str]]:
    for table in dict.fromkeys(known.values()):
        names = ", ".join(name for name, other in known.items() if other is table)
        yield names, ", ".join(key for key in keys_of(table) if key != "name")


def _example(field: FieldInfo) -> Any:
    assert field.examples, f"a key without a default needs an example: {field.description}"
    return field.examples[0]


def _comment(text: str, indent: str = "") -> Iterator[str]:
    for paragraph in text.rstrip().split("\n"):
        if paragraph.startswith(" ") or not paragraph:
            yield f"# {paragraph}".rstrip()
            continue
        for line in textwrap.wrap(paragraph, _WIDTH, break_long_words=False, break_on_hyphens=False):
            yield f"# {indent}{line}"
