"""Links, commands, files, columns, queries and the reference of the pages agree with the code."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from markdown.extensions.toc import slugify

from lthsweep.cli import app
from lthsweep.plan.expand import expand
from lthsweep.reduce.frames import Frames
from lthsweep.reduce.merge import reduce_records
from lthsweep.reduce.query import query, sql
from lthsweep.reduce.table import TABLES
from lthsweep.spec import load_spec, spec_of

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md")))
REFRESH = "python docs/refresh.py"

_FENCE = re.compile(r"^(```+)([^\n]*)\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
_HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)
_INLINE = re.compile(r"`(lthsweep [^`]+)`")
_GRID = {
    "sweep": {"model": {"name": "lenet_300_100"}, "data": {"name": "digits"}},
    "grid": {"sparsity": [0.5, 0.9], "rewind_epoch": [0, 1], "seed": [0, 1], "model.init": ["default"]},
}
"""A grid with every kind of axis in the examples, except thresholds."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}-{self.title or self.text.strip().splitlines()[0][:40]}"


@dataclass(frozen=True)
class Command:
    """A line of `lthsweep …` on a page; `whole` if it is a complete command."""

    page: Path
    words: tuple[str, ...]
    whole: bool

    def __str__(self) -> str:
        return f"{self.page.name}-{' '.join(self.words)[:60]}"


def _blocks() -> Iterator[Block]:
    for page in PAGES:
        for _, info, text in _FENCE.findall(page.read_text(encoding="utf-8")):
            title = re.search(r'title="([^"]+)"', info)
            yield Block(page, info.split(" ")[0], title[1] if title else "", text)


BLOCKS = list(_blocks())


def _typed(block: Block) -> Iterator[str]:
    """Commands of a block: the lines after `$ `, including continued lines and open quotes."""
    pending = ""
    for line in block.text.splitlines():
        if pending:
            pending += "\n" + line
        elif line.startswith("$ "):
            pending = line[2:]
        if pending and _closed(pending):
            yield pending.replace("\\\n", " ")
            pending = ""
    assert not pending, f"{block}: this command has a quote that never closes: {pending}"


def _closed(text: str) -> bool:
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return not text.endswith("\\")


def _commands() -> Iterator[Command]:
    for block in BLOCKS:
        if block.language in ("console", "bash", "sh"):
            for line in _typed(block):
                words = shlex.split(line, comments=True)
                if words and Path(words[0]).name == "lthsweep":
                    end = next((i for i, word in enumerate(words) if word in (">", "|")), len(words))
                    yield Command(block.page, tuple(words[1:end]), whole=True)
    for page in PAGES:
        prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
        for text in _INLINE.findall(prose):
            yield Command(page, tuple(shlex.split(text)[1:]), whole=False)


COMMANDS = list(_commands())


def _refresh() -> ModuleType:
    found = importlib.util.spec_from_file_location("docs_refresh", DOCS / "refresh.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@cache
def _anchors(page: Path) -> frozenset[str]:
    """The ids of the headings of a page in MkDocs."""
    seen: dict[str, int] = {}
    for heading in _HEADING.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        slug = slugify(heading.replace("`", ""), "-")
        seen[slug] = seen.get(slug, 0) + 1
    return frozenset(seen) | {f"{slug}_{n}" for slug, count in seen.items() for n in range(1, count)}


@cache
def _frames() -> Frames:
    """The tables of a planned sweep without records: they have every column."""
    return reduce_records(expand(spec_of(_GRID)), []).frames


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_internal_links_have_a_target(page):
    """Renaming a page, heading or figure must not leave a dead link, including in the README."""
    text = _COMMENT.sub("", _FENCE.sub("", page.read_text(encoding="utf-8")))
    dead = []
    for target in _LINK.findall(text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (anchor and anchor not in _anchors(path)):
            dead.append(target)

    assert not dead, f"{page.relative_to(ROOT)} has dead links: {', '.join(dead)}"


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_commands_on_pages_are_valid(command):
    """Readers copy commands, so the command line must accept each of them unchanged."""
    words = list(command.words)
    group: Any = typer.main.get_command(app)
    context = group.make_context("lthsweep", [], resilient_parsing=True)
    flags = {name for option in group.params for name in option.opts}
    while words and words[0] in flags:  # options of lthsweep itself, such as -v
        words.pop(0)
    while words and hasattr(group, "commands"):
        assert words[0] in group.commands, f"no command `lthsweep … {words[0]}`"
        group = group.commands[words.pop(0)]
    options = {name for option in group.params for name in (*option.opts, *option.secondary_opts)}
    for word in words:
        if word.startswith("--"):
            assert word.split("=")[0] in options, f"`{group.name}` has no option {word}"
    if command.whole:
        group.make_context(group.name, words, parent=context)  # raises for unknown arguments


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "toml"], ids=str)
def test_toml_blocks_are_valid(block, tmp_path):
    """A block with a title is a whole file and must pass the check of `lthsweep plan`."""
    tables = tomllib.loads(block.text)
    if block.title:
        file = tmp_path / block.title
        file.write_text(block.text, encoding="utf-8")
        load_spec(file)
    else:
        complete = {**_GRID, **tables}
        complete["sweep"] = {**_GRID["sweep"], **tables.get("sweep", {})}
        spec_of(complete)


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python"], ids=str)
def test_python_blocks_compile(block):
    """An example with a syntax error is worse than none."""
    ast.parse(block.text)


@pytest.mark.parametrize("page", _refresh().GENERATED)
def test_generated_parts_of_a_page_are_fresh(page):
    """They are made from the fields that the code uses, so they cannot disagree with it."""
    text = (DOCS / page).read_text(encoding="utf-8")

    assert _refresh().refreshed(page, text) == text, f"docs/{page} is stale: run `{REFRESH}` and commit it"


@pytest.mark.parametrize("table", TABLES)
def test_the_page_explains_every_column(table):
    """A new column needs an explanation, a removed column none."""
    text = (DOCS / "the-table.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {table}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    explained = set()
    for line in section[1].splitlines():
        if line.startswith("| `"):
            explained.update(re.findall(r"`([^`]+)`", line.split("|")[1]))
    axes = (
        {"sparsity", "rewind_epoch", "seed", "model.init"}
        if table in ("tickets", "controls", "structures", "runs")
        else set()
    )

    assert explained == set(_frames()[table].columns) - axes


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.whole and c.words[:1] == ("query",)], ids=str)
def test_queries_on_pages_work(command):
    """Conditions, columns and SELECTs of the pages run on the tables of a planned sweep."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("lthsweep", [], resilient_parsing=True)
    given = group.commands["query"].make_context("query", list(command.words[1:]), parent=context).params

    if given["statement"] is not None:
        sql(_frames(), given["statement"])
    else:
        query(_frames(), given["where"], given["sort"], given["columns"], given["table"])


def test_the_readme_has_commands_for_new_machines():
    """The Makefile has the two commands of the first screen."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    for target in ("demo", "test"):
        assert f"$ make {target}" in readme
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_work_offline(page):
    """Pictures are files next to the pages."""
    text = page.read_text(encoding="utf-8")

    assert not re.search(r"!\[[^\]]*\]\(https?://|<(img|script|iframe|link)\b", text)
