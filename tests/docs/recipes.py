"""Execute the recipes of `docs/extending.md` as a reader would: from the page's own blocks, outside the package."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "extending.md"

_BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def section(heading: str) -> str:
    """The text of one section of the page, up to the next heading of its rank or a higher one."""
    text = PAGE.read_text(encoding="utf-8")
    start = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert start, f"{PAGE} has no section {heading!r}"
    end = re.compile(rf"^#{{1,{len(start[1])}}} ", re.MULTILINE).search(text, start.end())
    return text[start.end() : end.start() if end else len(text)]


def titled_blocks(heading: str) -> dict[str, str]:
    """Title → text of the blocks of a section that have a title."""
    return {title: text for _, title, text in _BLOCK.findall(section(heading)) if title}


def follow(heading: str, folder: Path, cache: Path) -> list[str]:
    """Write a section's files into a folder and run its commands there.

    A block's title is the file's name. In console blocks, `export` sets the environment.

    Args:
        heading: of the section.
        folder: where the reader works.
        cache: folder of packed data.

    Returns:
        The output of each command.
    """
    for title, text in titled_blocks(heading).items():
        (folder / title).write_text(text, encoding="utf-8")
    lines = [
        line.removeprefix("$ ")
        for language, _, text in _BLOCK.findall(section(heading))
        if language == "console"
        for line in text.splitlines()
    ]
    exported: dict[str, str] = {}
    outputs = []
    for line in lines:
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            exported[name] = value
        else:
            outputs.append(command(line, folder, cache, exported))
    return outputs


def command(line: str, folder: Path, cache: Path, exported: Mapping[str, str] | None = None) -> str:
    """The output of `lthsweep …` or `python …`, run in a folder; a package in the folder comes first."""
    words = shlex.split(line)
    program = [sys.executable, "-m", "lthsweep"] if words[0] == "lthsweep" else [sys.executable]
    path = os.pathsep.join([str(folder), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "LTHSWEEP_CACHE": str(cache), **(exported or {})}
    done = subprocess.run(
        [*program, *words[1:]], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def copy_package(folder: Path) -> None:
    """Copy the package and the pages into a folder, so that a recipe can change them."""
    shutil.copytree(ROOT / "lthsweep", folder / "lthsweep")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("images"))


def add_entry(registry: Path, block: str) -> None:
    """Add the entry of a block (`NAME = {`, entry, a comment, `}`) to a registry as its first."""
    head, *entry = block.splitlines()[:-2]
    source = registry.read_text(encoding="utf-8")
    assert f"{head}\n" in source, f"{registry} has no line {head!r}"
    registry.write_text(source.replace(f"{head}\n", "\n".join([head, *entry, ""])), encoding="utf-8")
