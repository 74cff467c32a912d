"""A lower layer never imports a higher one, there are no import circles, and few packages import torch."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import lthsweep
from lthsweep.plan.expand import expand
from lthsweep.spec import dump_spec, spec_of
from lthsweep.store.layout import SweepDir
from lthsweep.store.publish import commit_record
from tests.launch.processes import PATIENCE
from tests.store.factory import make_record

PACKAGE = Path(lthsweep.__file__).parent

LAYERS = (
    {"code_options", "code_sources", "errors", "options", "randomness", "wording", "usercode"},
    {"models", "data", "pruning", "training", "spec", "presets"},
    {"lottery", "store", "plan"},
    {"launch", "reduce"},
    {"report"},
    {"api"},
    {"commands", ""},
    {"cli"},
    {"__main__"},
)
"""Packages and top-level modules by layer, the lowest first; "" is the package's `__init__`."""

TORCH = {"torch", "torchvision"}
TORCH_FREE = {
    "errors",
    "randomness",
    "code_options",
    "code_sources",
    "options",
    "wording",
    "usercode",
    "spec",
    "presets",
    "plan",
    "store",
    "reduce",
    "report",
    "api",
    "commands",
    "cli",
    "",
}
REGISTRIES = {"lthsweep.models.networks", "lthsweep.data.datasets", "lthsweep.pruning.registry"}


@dataclass(frozen=True)
class Import:
    """An import statement.

    Attributes:
        module: the imported module.
        line: in the file.
        at_once: True if importing the file executes it.
        in_function: True inside of a function.
    """

    module: str
    line: int
    at_once: bool
    in_function: bool


@cache
def modules() -> Mapping[str, Path]:
    """Dotted name → file of every module of the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def package_of(module: str) -> str:
    """`plan` of `lthsweep.plan.expand`; empty for `lthsweep`."""
    return module.split(".")[1] if "." in module else ""


@cache
def imports(module: str) -> tuple[Import, ...]:
    """All imports of a module, anywhere in its file."""
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    return tuple(_imports(tree, at_once=True, in_function=False))


def _imports(node: ast.AST, *, at_once: bool, in_function: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, at_once, in_function)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {child.lineno}: imports are absolute in this package"
            base = child.module or ""
            for alias in child.names:
                name = f"{base}.{alias.name}"
                yield Import(name if name in modules() else base, child.lineno, at_once, in_function)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from _imports(child, at_once=False, in_function=in_function)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, at_once=at_once and not inside, in_function=in_function or inside)


def reached(start: str) -> dict[str, str]:
    """Every module that importing `start` imports → the module that imports it; other packages by their first name."""
    found = {start: ""}
    waiting = [start]
    while waiting:
        module = waiting.pop()
        parents = [".".join(module.split(".")[:depth]) for depth in range(1, module.count(".") + 1)]
        wanted = parents + [item.module for item in imports(module) if item.at_once]
        for name in wanted:
            name = name if name in modules() else name.split(".")[0]
            if name not in found:
                found[name] = module
                if name in modules():
                    waiting.append(name)
    return found


def way_to_torch(start: str) -> list[str]:
    """The chain of imports from a module to torch; empty if there is none."""
    found = reached(start)
    chain = [name for name in TORCH if name in found][:1]
    while chain and chain[-1] != start:
        chain.append(found[chain[-1]])
    return chain[::-1]


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other, sorted (strongly connected components of more than one node)."""

    def walk(start: str, edges: Callable[[str], set[str]]) -> set[str]:
        seen, waiting = {start}, [start]
        while waiting:
            for node in edges(waiting.pop()) - seen:
                seen.add(node)
                waiting.append(node)
        return seen

    backward: dict[str, set[str]] = {node: set() for node in graph}
    for node, targets in graph.items():
        for target in targets:
            backward[target].add(node)
    found, left = [], set(graph)
    while left:
        start = min(left)
        group = walk(start, graph.__getitem__) & walk(start, backward.__getitem__)
        if len(group) > 1:
            found.append(sorted(group))
        left -= group
    return found


def test_every_package_has_a_layer():
    """A new package gets its layer before its code."""
    known = set().union(*LAYERS)

    assert {package_of(module) for module in modules()} <= known


def test_a_lower_layer_never_imports_a_higher_one():
    """Not even inside of a function or for types: a lower layer can be read without the higher ones."""
    layer = {name: level for level, names in enumerate(LAYERS) for name in names}
    wrong = [
        f"{modules()[module]}:{item.line} imports {item.module}"
        for module in modules()
        for item in imports(module)
        if item.module in modules()
        and module != "lthsweep"
        and layer[package_of(item.module)] > layer[package_of(module)]
    ]

    assert wrong == []


def test_modules_have_no_import_circles():
    """Modules in a circle can only be read together; imports for types count, imports in functions do not."""
    graph = {
        module: {item.module for item in imports(module) if item.module in modules() and not item.in_function}
        - {module}
        for module in modules()
    }

    assert circles(graph) == []


def test_packages_have_no_import_circles():
    """Packages of the same layer can import each other in one direction only, functions included."""
    graph: dict[str, set[str]] = {}
    for module in modules():
        own = package_of(module)
        used = {package_of(item.module) for item in imports(module) if item.module in modules()}
        if module != "lthsweep":  # its `__init__` re-exports from the layers above
            graph.setdefault(own, set()).update(used - {own, ""})
    graph.setdefault("", set())

    assert circles(graph) == []


@pytest.mark.parametrize("name", sorted(TORCH_FREE))
def test_packages_that_do_not_train_never_import_torch(name):
    """Neither at once, through their imports, nor later in a function."""
    for module in modules():
        if package_of(module) == name:
            assert way_to_torch(module) == []
            assert not TORCH & {item.module.split(".")[0] for item in imports(module)}, module


@pytest.mark.parametrize(
    "module",
    [
        "lthsweep.launch.worker",
        "lthsweep.launch.mpi.rank_worker",
        "lthsweep.launch.dispatch",
        *sorted(REGISTRIES),
    ],
)
def test_workers_and_registries_start_without_torch(module):
    """A worker sets cores and threads before torch is imported; a registry names its entries without importing them."""
    assert way_to_torch(module) == []


def test_launch_imports_torch_only_through_the_worker():
    """Planning, scheduling and watching start without it."""
    with_torch = {module for module in modules() if package_of(module) == "launch" and way_to_torch(module)}

    assert "lthsweep.launch.execute" in with_torch
    importers = {
        module
        for module in modules()
        for item in imports(module)
        if item.module in with_torch and module not in with_torch
    }
    assert importers <= {"lthsweep.launch.worker"}


def test_training_imports_neither_sweeps_nor_hdf5():
    """Training returns values; other packages decide how to store them."""
    for module in modules():
        if package_of(module) in {"models", "data", "pruning", "training", "lottery"}:
            used = {item.module for item in imports(module)}
            assert not {"h5py", "safetensors"} & {name.split(".")[0] for name in used}, module
            assert not any(name.startswith("lthsweep.spec") for name in used), module


@pytest.fixture
def sweep(tmp_path):
    """A finished sweep of one dense run and two tickets with invented numbers."""
    spec = spec_of(
        {
            "sweep": {"name": "tiny", "model": {"name": "lenet_300_100"}, "data": {"name": "digits"}},
            "grid": {"sparsity": [0.5, 0.8]},
        }
    )
    sweep = SweepDir(tmp_path / "tiny").create()
    sweep.sweep_toml.write_text(dump_spec(spec))
    for number, run in enumerate(expand(spec).runs.values()):
        sparsity = run.prune.sparsity if run.prune else 0.0
        record = make_record(number, kind=run.kind, manifest=dict(run.manifest), sparsity=sparsity, layers=3)
        commit_record(sweep, record, durable=False)
    return sweep


PROGRAM = """
import json, sys
import lthsweep
from lthsweep.cli import main

results = {}
for line in json.loads(sys.stdin.read()):
    sys.argv = ["lthsweep", *line]
    try:
        main()
        code = 0
    except SystemExit as error:
        code = error.code or 0
    results[" ".join(line[:1])] = [code, sorted({"torch", "torchvision"} & set(sys.modules))]
print("\\n" + json.dumps(results))
"""


@pytest.mark.slow
def test_commands_that_do_not_train_start_without_torch(sweep):
    """Importing torch takes seconds, a query of the table none. The test checks imports, not time."""
    path = str(sweep.path)
    lines = [
        ["--version"],
        ["presets"],
        ["plan", path, "--json"],
        ["status", path],
        ["merge", path],
        ["query", path, "sparsity >= 0.8", "--json"],
        ["compare", path, "--axis", "sparsity"],
        ["doctor", path],
    ]

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )

    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    expected = {line[0]: [0, []] for line in lines}
    expected["doctor"][0] = results["doctor"][
        0
    ]  # the invented records have no weights, so doctor reports errors
    assert results == expected, done.stderr
