"""Code of the user by name: `module:function`, in full `module:function@HASH`.

A file can name code, and a sweep directory can come from another person. Therefore:

- Reading a file runs no code. The module's source is found, and the first digits of its sha256 are appended to the
  name. The name is part of a run's key, so changed code makes new runs.
- Running needs permission: `LTHSWEEP_ALLOW_CODE` in the environment lists the modules that may be run. No file can
  set it, and workers inherit it from the command.
- Exactly the bytes that were hashed are run. If the source has changed, nothing is run.

The hash is that of one source file. What the module imports is not in it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import re
import symtable
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Self

from lthsweep.errors import CodeError

__all__ = ["ALLOW_VARIABLE", "Code", "is_code", "load", "pinned", "pinned_source", "require_allowed"]

ALLOW_VARIABLE = "LTHSWEEP_ALLOW_CODE"
"""Names of modules, separated by commas."""

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
        digest: the first 16 hexadecimal digits of the source file's sha256; "" if the name does not say.
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
    """Whether a text is meant to name code of the user's own: no name of ours has a colon."""
    return ":" in name


def pinned(name: str) -> str:
    """The name with the hash of the source behind it; one that has a hash is returned as it is. Runs nothing.

    Raises:
        CodeError: if it is no such name, the module's source is not found, or it defines and imports no such function.
    """
    code = Code.parse(name)
    if code.digest:
        return name
    path = _find(code)
    source = _read(path)
    if not _can_have(source, code.function):
        raise CodeError(
            f"{path} has no function {code.function!r}, which {name!r} names; define or import it at the top level"
        )
    return str(Code(code.module, code.function, _digest(source)))


def pinned_source(name: str) -> bytes | None:
    """The source that a pinned name means; None if it is not found or has another hash. Runs nothing.

    Raises:
        CodeError: if it is no such name.
    """
    code = Code.parse(name)
    try:
        source = _read(_find(code))
    except CodeError:
        return None
    return source if _digest(source) == code.digest else None


def require_allowed(name: str) -> None:
    """Make sure that the user lets this code run, and that it is here, unchanged.

    Raises:
        CodeError: with what to do.
    """
    _source(Code.parse(name))


def load(name: str) -> Callable[..., object]:
    """The function, from the bytes of the source that the name's hash is of.

    Raises:
        CodeError: if the module is not allowed, not found, not the one that the name was written for, fails
            when it is run, or has no such function.
    """
    code = Code.parse(name)
    path, source = _source(code)
    found = getattr(_run(code, path, source), code.function, None)
    if found is None:
        raise CodeError(f"{path} has no {code.function!r}, which {name!r} names")
    if not callable(found):
        raise CodeError(f"{name!r} names no function: {code.function} in {path} is a {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def _source(code: Code) -> tuple[Path, bytes]:
    allowed = {module.strip() for module in os.environ.get(ALLOW_VARIABLE, "").split(",")}
    if code.module not in allowed:
        raise CodeError(
            f"{str(code)!r} is code from outside lthsweep, and is not run without permission; check the "
            f"module, then allow it: {ALLOW_VARIABLE}={code.module} lthsweep run …"
        )
    path = _find(code)
    source = _read(path)
    digest = _digest(source)
    if not code.digest:
        raise CodeError(f"{str(code)!r} does not say which source it means; name it {code}@{digest}")
    if digest != code.digest:
        raise CodeError(
            f"{path} is not the source that {str(code)!r} was written for: its hash is {digest} now; restore it, or "
            f"run the file that names {code.module}:{code.function}, which makes new runs"
        )
    return path, source


def _find(code: Code) -> Path:
    """The source, looked for as Python would, in the working directory first; packages around it are not run."""
    stem = Path(*code.module.split("."))
    for folder in dict.fromkeys((str(Path.cwd()), *sys.path)):
        for path in (Path(folder, stem, "__init__.py"), Path(folder, stem).with_suffix(".py")):
            if path.is_file():
                return path
    raise CodeError(
        f"there is no module {code.module!r}, which {str(code)!r} names: neither {stem}.py in the working directory "
        f"{Path.cwd()} nor on Python's path; go to its folder, or add that to PYTHONPATH"
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CodeError(f"{path} cannot be read: {error.strerror}") from None


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


def _digest(source: bytes) -> str:
    return hashlib.sha256(source).hexdigest()[:_DIGITS]


def _run(code: Code, path: Path, source: bytes) -> ModuleType:
    spec = importlib.util.spec_from_file_location(code.module, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    known = sys.modules.get(code.module)
    sys.modules[code.module] = module  # dataclasses and pickles look their module up by its name
    try:
        exec(compile(source, path, "exec"), module.__dict__)
    except Exception as error:
        raise CodeError(f"{path} fails when it is run: {type(error).__name__}: {error}") from error
    finally:
        if known is not None:
            sys.modules[code.module] = known
    return module
