"""The floors of the house: a lower floor never imports a higher one, and most rooms never import torch."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
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

FLOORS = (
    {"errors", "randomness", "usercode", "registry"},
    {"models", "data", "pruning", "training", "spec", "presets"},
    {"lottery", "store", "plan"},
    {"launch", "reduce"},
    {"report"},
    {"api"},
    {"commands", ""},
    {"cli"},
    {"__main__"},
)
"""Rooms by floor, the lowest first; "" is the package's own `__init__`, its front door."""

TORCH = {"torch", "torchvision"}
TORCH_FREE = {
    "errors",
    "randomness",
    "usercode",
    "registry",
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
REGISTRIES = {"lthsweep.models.registry", "lthsweep.data.registry", "lthsweep.pruning.registry"}


@dataclass(frozen=True)
class Import:
    """One imported module: where it is written, and whether importing the file imports it."""

    module: str
    line: int
    at_once: bool


@cache
def modules() -> Mapping[str, Path]:
    """Dotted name → file, of every module of the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room(module: str) -> str:
    """`plan` of `lthsweep.plan.expand`; empty for the package itself."""
    return module.split(".")[1] if "." in module else ""


@cache
def imports(module: str) -> tuple[Import, ...]:
    """Everything a module imports, anywhere in its file."""
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    return tuple(_imports(tree, at_once=True))


def _imports(node: ast.AST, *, at_once: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, at_once)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {child.lineno}: imports are absolute in this package"
            base = child.module or ""
            for alias in child.names:
                name = f"{base}.{alias.name}"
                yield Import(name if name in modules() else base, child.lineno, at_once)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from _imports(child, at_once=False)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, at_once=at_once and not inside)


def reached(start: str) -> dict[str, str]:
    """Every module that importing `start` imports, with the one that asks for it; other packages by their top."""
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


def test_every_room_has_a_floor():
    """A new room must be given its place before it is built."""
    known = set().union(*FLOORS)

    assert {room(module) for module in modules()} <= known


def test_a_lower_floor_never_imports_a_higher_one():
    """Not even inside of a function or for its types: what is below can be read without what is above."""
    floor = {name: level for level, names in enumerate(FLOORS) for name in names}
    wrong = [
        f"{modules()[module]}:{item.line} imports {item.module}"
        for module in modules()
        for item in imports(module)
        if item.module in modules()
        and module != "lthsweep"
        and floor[room(item.module)] > floor[room(module)]
    ]

    assert wrong == []


@pytest.mark.parametrize("name", sorted(TORCH_FREE))
def test_rooms_that_do_not_train_never_import_torch(name):
    """Neither at once, through whatever they import, nor later inside of a function."""
    for module in modules():
        if room(module) == name:
            assert way_to_torch(module) == []
            assert not TORCH & {item.module.split(".")[0] for item in imports(module)}, module


@pytest.mark.parametrize(
    "module",
    [
        "lthsweep.launch.worker",
        "lthsweep.launch.mpi.worker",
        "lthsweep.launch.dispatch",
        *sorted(REGISTRIES),
    ],
)
def test_what_starts_before_torch_does_not_import_it(module):
    """A worker settles cores and threads first; a registry names its entries without importing them."""
    assert way_to_torch(module) == []


def test_the_launch_room_reaches_torch_through_the_work_itself_only():
    """Everything that plans, schedules or watches starts without it."""
    with_torch = {module for module in modules() if room(module) == "launch" and way_to_torch(module)}

    assert "lthsweep.launch.execute" in with_torch
    importers = {
        (module, item.module)
        for module in modules()
        for item in imports(module)
        if item.module in with_torch and module not in with_torch
    }
    assert {importer for importer, _ in importers} <= {"lthsweep.launch.worker"}


def test_training_knows_nothing_of_sweeps_and_opens_no_hdf5():
    """It returns values; what is stored, and how, is decided elsewhere."""
    for module in modules():
        if room(module) in {"models", "data", "pruning", "training", "lottery"}:
            used = {item.module for item in imports(module)}
            assert not {"h5py", "safetensors"} & {name.split(".")[0] for name in used}, module
            assert not any(name.startswith("lthsweep.spec") for name in used), module


@pytest.fixture
def sweep(tmp_path):
    """A finished sweep of one dense run and two tickets, with made-up numbers."""
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

told = {}
for line in json.loads(sys.stdin.read()):
    sys.argv = ["lthsweep", *line]
    try:
        main()
        code = 0
    except SystemExit as left:
        code = left.code or 0
    told[" ".join(line[:1])] = [code, sorted({"torch", "torchvision"} & set(sys.modules))]
print("\\n" + json.dumps(told))
"""


def test_commands_that_do_not_train_start_without_torch(sweep):
    """torch takes seconds to import; asking a table takes none. Checked by what is imported, not by time."""
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
    told = json.loads(done.stdout.splitlines()[-1])
    expected = {line[0]: [0, []] for line in lines}
    expected["doctor"][0] = told["doctor"][
        0
    ]  # the made-up numbers have no weights; that it starts is the point
    assert told == expected, done.stderr
