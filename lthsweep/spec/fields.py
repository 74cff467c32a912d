"""Building blocks of the file's tables: types that do not guess, and fields that are generated from registries.

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

    class SweepSpec(FileTable):
        model: Annotated[NetworkTable, TableByName(TABLES, own_code=OwnNetworkTable)] = Field(description="…")

Error messages (with the nearest name), axes of the grid, `--set`, the template and docs/the-file.md follow from the
markers; run `python docs/refresh.py` after a change. `NameOf` reads its registry whenever a file is read. Rules between
an entry and other keys belong in `lthsweep.spec.rules` and read the attributes of the entry, never its name.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, Strict, create_model
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from lthsweep.errors import CodeError, nearest
from lthsweep.options import Option
from lthsweep.spec.text_forms import inline
from lthsweep.usercode import is_code, pinned

__all__ = [
    "OWN_CODE",
    "Allowed",
    "EntryTable",
    "FileTable",
    "Flag",
    "NameOf",
    "Number",
    "TableByName",
    "Text",
    "Whole",
    "suggested",
    "tables_of",
]

# A boolean is not accepted as a number, and 10.0 is not accepted as a whole number. An integer is accepted as a number,
# because people write `lr = 1`.
Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
Flag = Annotated[bool, Strict()]
Text = Annotated[str, Strict()]

OWN_CODE = "module:function"
"""Placeholder for the name of user code in lists of names and in the locations of pydantic's errors."""

_LIBRARY_NAME = re.compile(r"([a-z]+):[A-Za-z0-9_.-]+")

_Table = TypeVar("_Table", bound="EntryTable")


class FileTable(BaseModel):
    """A table of the file: immutable, comparable by value, without unknown keys and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Allowed:
    """Annotates a field whose type alone does not define what may be written there.

    Attributes:
        text: completes "must be …".
        item: the same for one element of a list or of a table of free names; "" where the field is none.
        inner: the table that may stand there instead of a list, if any.
        free_names: the value is a table whose keys are not fixed.
    """

    text: str
    item: str = ""
    inner: type[FileTable] | None = None
    free_names: bool = False


@dataclass(frozen=True)
class NameOf:
    """Annotates a text that is the name of a registry entry, or code of the user, which is pinned by its hash.

    Attributes:
        registry: name → entry. Empty if only code of the user is allowed.
        entry_of: the entry of a name. Called with pinned code, which it may refuse with `CodeError`.
        libraries: prefixes of further names, such as `torchvision:resnet18`, which the library checks when it is used.
    """

    registry: Mapping[str, object]
    entry_of: Callable[[str], object] | None = None
    libraries: Mapping[str, object] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Completes "must be …"."""
        return _names_text(self.registry, own_code=True, libraries=self.libraries)

    def __get_pydantic_core_schema__(self, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def _checked(self, name: str) -> str:
        """The name of an entry unchanged; code of the user with the hash of its source."""
        if name in self.registry or _library_of(name) in self.libraries:
            return name
        if is_code(name):
            try:
                code = pinned(name)
                if self.entry_of:
                    self.entry_of(code)
            except CodeError as error:
                raise PydanticCustomError("name", "{reason}", {"reason": str(error)}) from None
            return code
        reason = f"{suggested(name, self.registry)}must be {self.text}"
        raise PydanticCustomError("name", "{reason}", {"reason": reason})


class EntryTable(FileTable):
    """A table whose keys depend on its `name`."""

    name: str


@dataclass(frozen=True)
class TableByName:
    """Annotates a table whose keys depend on the value of its key `name`.

    Attributes:
        tables: value of `name` → the class that reads the table; several names can share one.
        default: the name of a table that has no `name`; "" if `name` is required.
        own_code: reads the table if `name` is code of the user or an entry of a library; None if neither is allowed.
        libraries: the prefixes of the names of libraries.
    """

    tables: Mapping[str, type[EntryTable]]
    default: str = ""
    own_code: type[EntryTable] | None = None
    libraries: Mapping[str, object] = field(default_factory=dict)

    @property
    def variants(self) -> dict[str, type[EntryTable]]:
        """`tables`, and `own_code` under the name `OWN_CODE`."""
        return {**self.tables} | ({OWN_CODE: self.own_code} if self.own_code else {})

    @property
    def text(self) -> str:
        """Completes "`name` must be …"."""
        return _names_text(self.tables, own_code=self.own_code is not None, libraries=self.libraries)

    def variant(self, name: object) -> type[EntryTable] | None:
        """The class that reads a table of this name; None if the name is unknown."""
        return self.variants.get(self._tag_of(name) or "")

    def __get_pydantic_core_schema__(self, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices = {name: handler.generate_schema(table) for name, table in self.variants.items()}
        union = core_schema.tagged_union_schema(choices, discriminator=self._tag)
        return core_schema.no_info_before_validator_function(_require_table, union)

    def _tag(self, raw: object) -> str | None:
        """The key of the variant that reads a raw table, or that wrote a table; None if it has no name."""
        default = self.default or None
        return self._tag_of(raw.get("name", default) if isinstance(raw, dict) else getattr(raw, "name", None))

    def _tag_of(self, name: object) -> str | None:
        is_built_in = not self.own_code or not isinstance(name, str) or name in self.tables
        if not is_built_in and (is_code(str(name)) or _library_of(str(name)) in self.libraries):
            return OWN_CODE
        return None if name is None else str(name)


def _require_table(raw: object) -> object:
    if not isinstance(raw, dict | FileTable):
        raise PydanticCustomError("table_type", "not a table")
    return raw


def suggested(name: object, known: Iterable[str]) -> str:
    """The nearest known name as "did you mean …? it ", to be completed by "must be …"; "" if none is near."""
    meant = nearest(name, known) if isinstance(name, str) else None
    return f"did you mean {inline(meant)}? it " if meant else ""


def _library_of(name: str) -> str:
    """The prefix of a name such as `torchvision:resnet18`; "" for other names."""
    return _LIBRARY_NAME.sub(r"\1", name) if _LIBRARY_NAME.fullmatch(name) else ""


def _names_text(names: Mapping[str, object], *, own_code: bool, libraries: Mapping[str, object]) -> str:
    """The names as a text that completes "must be …"."""
    listed = [f"one of {', '.join(map(inline, names))}"] if names else []
    of_libraries = [f'"{library}:NAME"' for library in libraries]
    return ", or ".join([*listed, *([f'"{OWN_CODE}" of your code'] if own_code else []), *of_libraries])


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
        # pydantic types the fields of `create_model` as Any.
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
        tables |= dict.fromkeys(names, table)
    return {name: tables[name] for name in entries}


def _field(option: Option) -> tuple[object, object]:
    """Type and field of an option."""
    kinds: Mapping[type, object] = {bool: Flag, int: Whole, float: Number, str: Text}
    kind = Literal[option.choices] if option.choices else kinds[type(option.default)]
    return kind, Field(
        option.default,
        description=option.help,
        ge=option.least,
        le=option.most,
        gt=option.above,
        lt=option.below,
    )
