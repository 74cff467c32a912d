"""The source files of the user's code: a module and the modules of its folder that it imports. Nothing is run.

The folder is the entry of Python's path on which the module was found, the working directory first. Import statements
are read from the source, also inside functions, absolute (`import blocks`) and relative (`from .blocks import X`).
Packages around a module count as imported, as in Python. Not followed are imports of the standard library, of lthsweep,
and of installed packages; imports by a computed name (`importlib.import_module`); compiled modules; data files.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lthsweep.errors import CodeError

__all__ = ["CodeFile", "CodeSources", "sources_of"]

_DIGITS = 16


@dataclass(frozen=True)
class CodeFile:
    """One module.

    Attributes:
        path: its file.
        source: the bytes of the file.
    """

    path: Path
    source: bytes

    @property
    def is_package(self) -> bool:
        """True for an `__init__.py`."""
        return self.path.name == "__init__.py"


@dataclass(frozen=True)
class CodeSources:
    """The files that make up the user's code.

    Attributes:
        module: dotted name of the module that the file of the sweep names.
        files: dotted name → file, of that module and all modules of its folder that it imports; sorted by name.
    """

    module: str
    files: Mapping[str, CodeFile]

    @property
    def entry(self) -> CodeFile:
        """The file of `module`."""
        return self.files[self.module]

    @functools.cached_property
    def digest(self) -> str:
        """The first 16 hexadecimal digits of the sha256 of all names and contents."""
        lines = (f"{name} {hashlib.sha256(file.source).hexdigest()}\n" for name, file in self.files.items())
        return hashlib.sha256("".join(lines).encode()).hexdigest()[:_DIGITS]


def sources_of(module: str) -> CodeSources:
    """Read a module and everything that it imports from its folder.

    Raises:
        CodeError: if there is no such module, or a file cannot be read.
    """
    folder = _folder_of(module)
    top = module.partition(".")[0]
    installed = folder in _installed_folders()
    files: dict[str, CodeFile] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        own = name.partition(".")[0] == top
        if name in files or not (own or (not installed and _may_be_own(name))):
            continue
        path = _file_in(folder, name)
        if path is None:
            continue
        files[name] = CodeFile(path, _read(path))
        waiting += _with_parents(name)
        for imported in _imports(files[name].source):
            waiting += imported.modules(name, files[name].is_package)
    return CodeSources(module, dict(sorted(files.items())))


def _folder_of(module: str) -> Path:
    for folder in dict.fromkeys((str(Path.cwd()), *sys.path)):
        if _file_in(Path(folder), module) is not None:
            return Path(folder)
    raise CodeError(
        f"there is no module {module!r}: neither {Path(*module.split('.'))}.py in the working directory "
        f"{Path.cwd()} nor on Python's path; go to its folder, or add that to PYTHONPATH"
    )


def _file_in(folder: Path, module: str) -> Path | None:
    stem = folder.joinpath(*module.split("."))
    found = (path for path in (stem / "__init__.py", stem.with_suffix(".py")) if path.is_file())
    return next(found, None)


@functools.cache
def _installed_folders() -> frozenset[Path]:
    """Folders in which neighboring modules belong to other packages."""
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return frozenset(map(Path, folders | {*site.getsitepackages(), site.getusersitepackages()}))


def _may_be_own(module: str) -> bool:
    top = module.partition(".")[0]
    return top != "lthsweep" and top not in sys.stdlib_module_names


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CodeError(f"{path} cannot be read: {error.strerror}") from None


@dataclass(frozen=True)
class _Import:
    """An import statement: `from {level dots}{base} import {names}`, or `import {base}` without names."""

    base: str
    names: tuple[str, ...] = ()
    level: int = 0

    def modules(self, importer: str, importer_is_package: bool) -> Iterator[str]:
        """Dotted names of all modules that the statement can import, those around them included."""
        base = self.base
        if self.level:
            around = importer.split(".")[: None if importer_is_package else -1]
            up = self.level - 1
            if up >= len(around):  # beyond the top; Python reports it when the statement is run
                return
            base = ".".join([*around[: len(around) - up], *([base] if base else [])])
        yield from _with_parents(base)
        yield from (f"{base}.{name}" for name in self.names)


def _with_parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


@functools.cache
def _imports(source: bytes) -> tuple[_Import, ...]:
    try:
        tree = ast.parse(importlib.util.decode_source(source))
    except (SyntaxError, ValueError):  # reported with its place when the module is run
        return ()
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [_Import(alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(_Import(node.module or "", tuple(alias.name for alias in node.names), node.level))
        elif isinstance(node, ast.Assign) and any(
            getattr(name, "id", "") == "__all__" for name in node.targets
        ):
            # `from package import *` imports the submodules that `__all__` of the package names
            texts = (item.value for item in ast.walk(node.value) if isinstance(item, ast.Constant))
            found.append(_Import("", tuple(text for text in texts if isinstance(text, str)), level=1))
    return tuple(found)
