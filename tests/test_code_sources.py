"""The hash of user code covers the modules of its folder that it imports, and exactly the hashed bytes are run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lthsweep.code_sources import sources_of
from lthsweep.errors import CodeError
from lthsweep.usercode import ALLOW_VARIABLE, load, pinned, pinned_source

FOLDER = {
    "nets.py": "import os\nfrom blocks import value\n\ndef build(): return value()",
    "blocks.py": "def value():\n    from inner.deep import number\n    return number",
    "inner/__init__.py": "",
    "inner/deep.py": "from . import constants\nfrom .constants import number",
    "inner/constants.py": "number = 1",
    "unused.py": "number = 0",
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(write(tmp_path, FOLDER))
    monkeypatch.setenv(ALLOW_VARIABLE, "nets,net.nets")
    return tmp_path


def test_imports_are_followed_within_the_folder(here):
    """Inside functions and packages too; the standard library and modules that are not imported are left out."""
    assert list(sources_of("nets").files) == ["blocks", "inner", "inner.constants", "inner.deep", "nets"]


@pytest.mark.parametrize("changed", ["nets.py", "blocks.py", "inner/__init__.py", "inner/constants.py"])
def test_a_changed_import_changes_the_name(here, changed):
    before = pinned("nets:build")
    with (here / changed).open("a") as file:
        file.write("\n# changed\n")

    assert pinned("nets:build") != before
    assert pinned_source(before) is None
    with pytest.raises(CodeError, match="is not the source"):
        load(before)


def test_a_changed_stranger_does_not_change_the_name(here):
    before = pinned("nets:build")
    (here / "unused.py").write_text("number = 5")
    (here / "torch").mkdir()

    assert pinned("nets:build") == before


def test_later_imports_use_the_hashed_bytes(here):
    """`blocks` imports inside its function, after the file has changed."""
    build = load(pinned("nets:build"))
    (here / "inner" / "constants.py").write_text("number = 2")

    assert build() == 1
    assert load(pinned("nets:build"))() == 2
    assert build() == 1


def test_two_versions_run_in_one_process(tmp_path, monkeypatch):
    """Equal module names in two folders, and a foreign module of that name in `sys.modules`."""
    monkeypatch.setenv(ALLOW_VARIABLE, "nets")
    builders = []
    monkeypatch.setitem(sys.modules, "blocks", sys)
    for number in (1, 2):
        folder = write(
            tmp_path / str(number), FOLDER | {"inner/constants.py": f"number = {number}", "unused.py": ""}
        )
        monkeypatch.chdir(folder)
        builders.append(load(pinned("nets:build")))

    assert [build() for build in builders] == [1, 2]
    assert sys.modules["blocks"] is sys


def test_modules_in_a_package_import_relatively(tmp_path, monkeypatch):
    files = {
        "net/__init__.py": "from .parts import *",
        "net/parts/__init__.py": "__all__ = ['wide']",
        "net/parts/wide.py": "width = 3",
        "net/nets.py": (
            "import net.parts.wide as again\nfrom .parts import wide\n"
            "def build(): return wide.width + again.width"
        ),
    }
    monkeypatch.chdir(write(tmp_path, files))
    monkeypatch.setenv(ALLOW_VARIABLE, "net.nets")

    assert list(sources_of("net.nets").files) == ["net", "net.nets", "net.parts", "net.parts.wide"]
    assert load(pinned("net.nets:build"))() == 6


def test_modules_can_import_each_other(tmp_path, monkeypatch):
    files = {
        "nets.py": "import other\nfour = 4\ndef build(): return other.value()",
        "other.py": "import nets\ndef value(): return nets.four",
    }
    monkeypatch.chdir(write(tmp_path, files))
    monkeypatch.setenv(ALLOW_VARIABLE, "nets")

    assert load(pinned("nets:build"))() == 4


def test_a_missing_import_is_an_import_error(here):
    """So that code can try one module and fall back to another."""
    (here / "nets.py").write_text(
        "try:\n    from inner import fast\nexcept ImportError:\n    fast = 0\n\ndef build(): return fast"
    )

    assert load(pinned("nets:build"))() == 0


def test_a_sibling_named_as_the_standard_library_is_left_out(here):
    """The module that was written against `random` of Python gets it, as it does when the program is installed."""
    (here / "random.py").write_text("raise SystemExit('was run')")
    (here / "nets.py").write_text("import random\ndef build(): return random.Random(0).random()")

    assert list(sources_of("nets").files) == ["nets"]
    assert 0 < load(pinned("nets:build"))() < 1


def test_of_an_installed_package_only_its_modules_count():
    names = sources_of("pluggy._hooks").files
    assert "pluggy" in names
    assert all(name.partition(".")[0] == "pluggy" for name in names)


def test_neither_a_module_nor_its_import_runs_without_permission(here, monkeypatch):
    """Each would leave a file; permission for the imported module does not extend to the importing one."""
    for name in ("nets.py", "blocks.py"):
        (here / name).write_text(f"import pathlib\npathlib.Path('{name}.ran').touch()\n{FOLDER[name]}")
    for allowed in ("", "blocks", "inner"):
        monkeypatch.setenv(ALLOW_VARIABLE, allowed)
        with pytest.raises(CodeError, match="LTHSWEEP_ALLOW_CODE=nets"):
            load(pinned("nets:build"))

    assert not list(here.glob("*.ran"))
    monkeypatch.setenv(ALLOW_VARIABLE, "nets")
    load(pinned("nets:build"))
    assert {path.name for path in here.glob("*.ran")} == {"nets.py.ran", "blocks.py.ran"}


def test_the_hash_is_the_same_in_another_process(here):
    code = "from lthsweep.usercode import pinned; print(pinned('nets:build'))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == pinned("nets:build")
