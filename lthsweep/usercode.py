"""Code of the user by name: `module:function`, in full `module:function@HASH`.

A file can name code, and a sweep directory can come from another person. Therefore:

- Reading a file runs no code. The module's source is found, and the first digits of a sha256 are appended to the name.
  The hash covers the module and the modules of its folder that it imports (`lthsweep.code_sources`). The name is part
  of a run's key, so changed code makes new runs.
- Running needs permission: `LTHSWEEP_ALLOW_CODE` in the environment lists the modules that may be run, with their
  imports. No file can set it, and workers inherit it from the command.
- Exactly the bytes that were hashed are run. If the source has changed, nothing is run.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import os
import re
import symtable
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Self

from lthsweep.code_sources import CodeSources, sources_of
from lthsweep.errors import CodeError

__all__ = [
    "ALLOW_VARIABLE",
    "LIBRARIES",
    "Code",
    "is_code",
    "is_library",
    "load",
    "pinned",
    "pinned_source",
    "require_allowed",
]

ALLOW_VARIABLE = "LTHSWEEP_ALLOW_CODE"
"""Names of modules, separated by commas."""

LIBRARIES = frozenset({"timm", "torchvision"})
"""Prefixes of names such as `torchvision:resnet18`, which mean a library's entry and no code of the user."""

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_CODE = re.compile(rf"(?P<module>{_NAME}(?:\.{_NAME})*):(?P<function>{_NAME})(?:@(?P<digest>[0-9a-f]+))?")
_DIGITS = 16
_DYNAMIC = frozenset({"__getattr__", "exec", "globals", "locals", "setattr", "vars"})
"""A module that uses one of these can have names that its source does not show."""


@dataclass(frozen=True)
class Code:
    """A function of a module, and which source it is.

    Attributes:
        module: its dotted name.
        function: a name at the top of the module.
        digest: of its source, `CodeSources.digest`; "" if the name has none.
    """

    module: str
    function: str
    digest: str = ""

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read `module:function` or `module:function@HASH`.

        Raises:
            CodeError: if it is neither.
        """
        found = _CODE.fullmatch(name)
        if found is None or len(found["digest"] or "0" * _DIGITS) != _DIGITS:
            raise CodeError(
                f'{name!r} names no code; write "module:function", as in "my_inits:scheme" (the hash behind @ is '
                f"written by lthsweep)"
            )
        return cls(found["module"], found["function"], found["digest"] or "")

    def __str__(self) -> str:
        """As it stands in a file."""
        return f"{self.module}:{self.function}" + (f"@{self.digest}" if self.digest else "")


def is_code(name: str) -> bool:
    """True if a text names code of the user: it has a colon, and no library in front of it."""
    return ":" in name and not is_library(name)


def is_library(name: str) -> bool:
    """True if a text names an entry of a library, as in `torchvision:resnet18`."""
    prefix, colon, _ = name.partition(":")
    return bool(colon) and prefix in LIBRARIES


def pinned(name: str) -> str:
    """The name with the hash of the source behind it; one that has a hash is returned as it is. Runs nothing.

    Raises:
        CodeError: if it is no such name, the module's source is not found, or it defines and imports no such function.
    """
    code = Code.parse(name)
    if code.digest:
        return name
    sources = sources_of(code.module)
    if not _can_have(sources.entry.source, code.function):
        raise CodeError(
            f"{sources.entry.path} has no function {code.function!r}, which {name!r} names; define or import it at "
            f"the top level"
        )
    return str(Code(code.module, code.function, sources.digest))


def pinned_source(name: str) -> bytes | None:
    """The source of a pinned name's module; None if it is not found or has another hash. Runs nothing.

    Raises:
        CodeError: if it is no such name.
    """
    code = Code.parse(name)
    try:
        sources = sources_of(code.module)
    except CodeError:
        return None
    return sources.entry.source if sources.digest == code.digest else None


def require_allowed(name: str) -> None:
    """Make sure that the user lets this code run, and that it is here, unchanged.

    Raises:
        CodeError: with what to do.
    """
    _permitted(Code.parse(name))


def load(name: str) -> Callable[..., object]:
    """The function, from the bytes of the sources that the name's hash is of.

    Each call runs the modules anew, so nothing that they keep passes from one call to the next.

    Raises:
        CodeError: if the module is not allowed, not found, not the one that the name was written for, fails
            when it is run, or has no such function.
    """
    code = Code.parse(name)
    sources = _permitted(code)
    path = sources.entry.path
    try:
        module = _Modules(sources).load(code.module)
    except Exception as error:
        raise CodeError(f"{path} fails when it is run: {type(error).__name__}: {error}") from error
    found = getattr(module, code.function, None)
    if found is None:
        raise CodeError(f"{path} has no {code.function!r}, which {name!r} names")
    if not callable(found):
        raise CodeError(f"{name!r} names no function: {code.function} in {path} is a {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def _permitted(code: Code) -> CodeSources:
    allowed = {module.strip() for module in os.environ.get(ALLOW_VARIABLE, "").split(",")}
    if code.module not in allowed:
        raise CodeError(
            f"{str(code)!r} is code from outside lthsweep, and is not run without permission; check the "
            f"module, then allow it: {ALLOW_VARIABLE}={code.module} lthsweep run …"
        )
    sources = sources_of(code.module)
    if not code.digest:
        raise CodeError(f"{str(code)!r} names no source; name it {code}@{sources.digest}")
    if sources.digest != code.digest:
        others = f" with its imports {', '.join(sorted(sources.files.keys() - {code.module}))}"
        raise CodeError(
            f"{sources.entry.path}{others if len(sources.files) > 1 else ''} is not the source that {str(code)!r} was "
            f"written for: its hash is {sources.digest} now; restore it, or run the file that names "
            f"{code.module}:{code.function}, which makes new runs"
        )
    return sources


def _can_have(source: bytes, name: str) -> bool:
    """False if the source shows that its module will not have a name; a source that cannot be read shows nothing."""
    try:
        text = importlib.util.decode_source(source)
        names = symtable.symtable(text, "<module>", "exec")
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError):  # `load` reports it, with the place
        return True
    if name in names.get_identifiers():
        symbol = names.lookup(name)
        if symbol.is_assigned() or symbol.is_imported():
            return True
    return any(
        (isinstance(node, ast.Global) and name in node.names)
        or (isinstance(node, ast.ImportFrom) and node.names[0].name == "*")
        or (isinstance(node, ast.Name) and node.id in _DYNAMIC)
        or (isinstance(node, ast.FunctionDef) and node.name in _DYNAMIC)
        for node in nodes
    )


class _Modules:
    """Runs modules from the bytes in memory, and gives them to each other's import statements.

    Each module has its own `__import__`, also for imports inside functions that run later, so neither files that have
    changed since nor modules of the same name in `sys.modules` or on Python's path can take a module's place.
    """

    def __init__(self, sources: CodeSources) -> None:
        self._sources = sources
        self._loaded: dict[str, ModuleType] = {}
        parents = (name.split(".")[:end] for name in sources.files for end in range(1, name.count(".") + 1))
        self._names = {*sources.files, *map(".".join, parents)}  # with folders that have no `__init__.py`

    def load(self, name: str) -> ModuleType:
        """The module of this dotted name, run if it has not been."""
        if name in self._loaded:
            return self._loaded[name]
        parent, _, last = name.rpartition(".")
        package = self.load(parent) if parent else None
        if name in self._loaded:  # its package imported it
            return self._loaded[name]
        self._loaded[name] = module = self._run(name)
        if package is not None:
            setattr(package, last, module)
        return module

    def _run(self, name: str) -> ModuleType:
        file = self._sources.files.get(name)
        # Dataclasses, pickles and `inspect` look up a class's module. A unique name cannot hide another module.
        unique = f"{name}_{self._sources.digest}"
        module = ModuleType(unique)
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": self._import}
        module.__package__ = name if file is None or file.is_package else name.rpartition(".")[0]
        if file is None:
            return module
        module.__file__ = str(file.path)
        sys.modules[unique] = self._loaded[name] = module  # before it is run: modules can import each other
        try:
            exec(compile(file.source, file.path, "exec"), module.__dict__)
        except BaseException:
            del self._loaded[name]
            raise
        return module

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """`__import__` of the user's modules."""
        if level:
            name = importlib.util.resolve_name("." * level + name, (globals or {})["__package__"])
        top = name.partition(".")[0]
        if top not in self._names:
            return builtins.__import__(name, globals, locals, fromlist or (), 0)
        if name not in self._names:
            raise ModuleNotFoundError(f"No module named {name!r} among the sources of the code", name=name)
        module = self.load(name)
        if not fromlist:
            return self.load(top)
        for item in getattr(module, "__all__", ()) if "*" in fromlist else fromlist:
            if not hasattr(module, item) and f"{name}.{item}" in self._names:
                self.load(f"{name}.{item}")
        return module
