"""Fields of the file whose allowed values, errors and reference come from a registry.

Two markers for annotations, and one function that makes tables from the options of registry entries.

A text that names an entry, or code of the user::

    method: Annotated[Text, NameOf(CRITERIA)] = Field("magnitude", description="How weights are chosen.")

A table whose keys depend on its `name`::

    class NetworkTable(EntryTable):  # the keys that all networks share
        init: Annotated[Text, NameOf(INITIALIZERS)] = Field("default", description="…")

    class OwnNetworkTable(NetworkTable):  # the keys of a network of the user; extra keys are its arguments
        model_config = ConfigDict(extra="allow")
        name: Annotated[Text, NameOf({})] = Field(description="The function that builds the network.")

    entries = {name: (entry.summary, entry.options) for name, entry in NETWORKS.items()}
    TABLES = tables_of(NetworkTable, entries, "The network.")

    class SweepSpec(Table):
        model: Annotated[NetworkTable, TableByName(TABLES, own_code=OwnNetworkTable)] = Field(description="…")

Error messages (with the nearest name), axes of the grid, `--set`, the template and docs/the-file.md follow from the
markers; run `python docs/refresh.py` after a change. `NameOf` reads its registry whenever a file is read. Rules between
an entry and other keys belong in `lthsweep.spec.rules` and ask the attributes of the entry, never its name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field, GetCoreSchemaHandler, create_model
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from lthsweep.errors import CodeError, nearest
from lthsweep.registry import Option
from lthsweep.spec.base import Flag, Number, Table, Text, Whole
from lthsweep.spec.toml_text import inline
from lthsweep.usercode import is_code, pinned

__all__ = ["OWN_CODE", "EntryTable", "NameOf", "TableByName", "pinned_axis", "tables_of"]

OWN_CODE = "module:function"
"""Placeholder for the name of user code in lists of names and in the locations of pydantic's errors."""

_OWN_CODE_TEXT = f'"{OWN_CODE}" of your code'

_Table = TypeVar("_Table", bound="EntryTable")


@dataclass(frozen=True)
class NameOf:
    """Annotates a text that is the name of a registry entry, or code of the user, which is pinned by its hash.

    Attributes:
        registry: name → entry. Empty if only code of the user is allowed.
        own_code: whether code of the user is allowed.
        entry_of: the entry of a name. Called with pinned code, which it may refuse with `CodeError`.
    """

    registry: Mapping[str, object]
    own_code: bool = True
    entry_of: Callable[[str], object] | None = None

    @property
    def text(self) -> str:
        """Completes "must be …"."""
        return allowed_names(self.registry, own_code=self.own_code)

    def __get_pydantic_core_schema__(self, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def _checked(self, name: str) -> str:
        """The name of an entry unchanged; code of the user with the hash of its source."""
        if name in self.registry:
            return name
        if self.own_code and is_code(name):
            try:
                code = pinned(name)
                if self.entry_of:
                    self.entry_of(code)
            except CodeError as error:
                raise PydanticCustomError("name", "{reason}", {"reason": str(error)}) from None
            return code
        hint = nearest(name, self.registry)
        reason = (f"did you mean {inline(hint)}? it " if hint else "") + f"must be {self.text}"
        raise PydanticCustomError("name", "{reason}", {"reason": reason})


class EntryTable(Table):
    """A table whose keys depend on its `name`.

    Attributes:
        entry_options: options of the registry entry that the class was generated from.
    """

    entry_options: ClassVar[Mapping[str, Option]] = {}

    name: str


@dataclass(frozen=True)
class TableByName:
    """Annotates a table whose keys depend on the value of its key `name`.

    Attributes:
        tables: value of `name` → the class that reads the table; several names can share one.
        default: the name of a table that has no `name`; "" if `name` is required.
        own_code: reads the table if `name` is code of the user; None if that is not allowed.
    """

    tables: Mapping[str, type[EntryTable]]
    default: str = ""
    own_code: type[EntryTable] | None = None

    @property
    def variants(self) -> dict[str, type[EntryTable]]:
        """`tables`, and `own_code` under the name `OWN_CODE`."""
        return {**self.tables} | ({OWN_CODE: self.own_code} if self.own_code else {})

    @property
    def text(self) -> str:
        """Completes "`name` must be …"."""
        return allowed_names(self.tables, own_code=self.own_code is not None)

    def variant(self, name: object) -> type[EntryTable] | None:
        """The class that reads a table of this name; None if the name is unknown."""
        if isinstance(name, str) and name not in self.tables and is_code(name):
            return self.own_code
        return self.tables.get(name) if isinstance(name, str) else None

    def __get_pydantic_core_schema__(self, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices = {name: handler.generate_schema(table) for name, table in self.variants.items()}
        union = core_schema.tagged_union_schema(choices, discriminator=self._tag)
        return core_schema.no_info_before_validator_function(_table, union)

    def _tag(self, raw: Any) -> str | None:
        """The key of the variant that reads a raw table, or that wrote a table; None if it has no name."""
        name = raw.get("name", self.default or None) if isinstance(raw, dict) else getattr(raw, "name", None)
        if self.own_code and isinstance(name, str) and name not in self.tables and is_code(name):
            return OWN_CODE
        return None if name is None else str(name)


def _table(raw: object) -> object:
    if not isinstance(raw, dict | Table):
        raise PydanticCustomError("table_type", "not a table")
    return raw


def allowed_names(names: Mapping[str, object], *, own_code: bool) -> str:
    """The names as a text that completes "must be …"."""
    listed = ", ".join(map(inline, names))
    if not names:
        return _OWN_CODE_TEXT
    return f"one of {listed}, or {_OWN_CODE_TEXT}" if own_code else f"one of {listed}"


def pinned_axis(values: Any) -> Any:
    """The values of an axis, with the hash of the source behind code of the user.

    Code that cannot be found is left as it is; the error is reported where the value is used.
    """
    if not isinstance(values, list | tuple):
        return values
    return [_pinned_if_found(value) for value in values]


def _pinned_if_found(value: Any) -> Any:
    if not isinstance(value, str) or not is_code(value):
        return value
    try:
        return pinned(value)
    except CodeError:
        return value


def tables_of(
    base: type[_Table], entries: Mapping[str, tuple[str, Mapping[str, Option]]], description: str
) -> dict[str, type[_Table]]:
    """A table class for each name; names with the same summary and options share one.

    Args:
        base: the table with the keys that all entries share. An option of the same name replaces its field.
        entries: name → (summary for the reference page, options).
        description: of the key `name`.
    """
    groups: dict[tuple[str, tuple[tuple[str, Option], ...]], list[str]] = {}
    for name, (summary, options) in entries.items():
        groups.setdefault((summary, tuple(options.items())), []).append(name)
    tables: dict[str, type[_Table]] = {}
    for (summary, options_of), names in groups.items():
        default = names[0] if len(names) == 1 else ...
        fields: dict[str, Any] = {"name": (Literal[tuple(names)], Field(default, description=description))}
        fields |= {name: _field(option) for name, option in options_of}
        table = create_model(
            f"{base.__name__}_{names[0]}",
            __base__=base,
            __doc__=summary,
            __module__=base.__module__,
            **fields,
        )
        setattr(sys.modules[base.__module__], table.__name__, table)  # pickle looks a class up by its name
        table.entry_options = dict(options_of)
        tables |= dict.fromkeys(names, table)
    return {name: tables[name] for name in entries}


def _field(option: Option) -> tuple[Any, Any]:
    """Type and field of an option."""
    kinds: Mapping[type, Any] = {bool: Flag, int: Whole, float: Number, str: Text}
    kind = Literal[option.choices] if option.choices else kinds[type(option.default)]
    bounds = {"ge": option.least, "le": option.most, "gt": option.above, "lt": option.below}
    limits: dict[str, Any] = {sign: bound for sign, bound in bounds.items() if bound is not None}
    return kind, Field(option.default, description=option.help, **limits)
