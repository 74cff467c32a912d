"""List lines with words that the project avoids: `python -m tests.prose [PATH...]`, behind `make spelling`.

Checks docstrings, comments and messages of Python files, and the text of Markdown, TOML, shell scripts and templates.
Without a path it checks `CLEAN`. docs/contributing.md lists better words.
A line that needs one of the words ends with the comment `prose: allow`.
"""

from __future__ import annotations

import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

__all__ = ["avoided", "main", "texts"]

ROOT = Path(__file__).parents[1]

CLEAN = (
    ".ci",
    "CHANGELOG.md",
    "Makefile",
    "README.md",
    "docs",
    "lthsweep",
    "mkdocs.yml",
    "pyproject.toml",
    "results/README.md",
    "slurm",
    "tests",
)
"""Files and folders that are checked by default."""

SUFFIXES = {".py", ".md", ".toml", ".sh", ".sbatch", ".j2", ".yml", ""}

_OBJECT = r"(?:is|was)(?! left| missing| published)|it(?! (?:will )?costs?)|they|has|had|there|others"
AVOIDED = {
    r"nobody|somebody|anybody|everybody|whoever": "a noun: the user, another process, no job",  # prose: allow
    r"said|says|told|tells|telling|untold|hears?|heard": "reports, shows, contains, returns",  # prose: allow
    rf"what (?:{_OBJECT})": "a noun as the subject or object",  # prose: allow
    r"beside": "next to, in addition to, against",  # prose: allow
    r"as ever|of (?:its|their|your|our) own": "its own, separate; or leave it out",  # prose: allow
    r"houses?|rooms?|floors?": "package, layer; lower bound",  # prose: allow
    r"parcels?|crowns?|forests?|amnesty|strikes": "see docs/protocol.md, Terms",  # prose: allow
    r"habits|rungs?|ladder|climbs?": "baseline options, benchmark step",  # prose: allow
    r"made[ -]up": "generated, invented",  # prose: allow
    r"at hand": "available",  # prose: allow
}
"""Pattern of words → better words."""

_PATTERN = re.compile("|".join(rf"\b(?:{words})\b" for words in AVOIDED), re.IGNORECASE)


def main(arguments: list[str]) -> int:
    """Print every line with an avoided word; 1 if there is one."""
    paths = [Path(name) for name in arguments] or [ROOT / name for name in CLEAN]
    found = 0
    for path in paths:
        if not path.exists():
            print(f"{path} does not exist", file=sys.stderr)
            return 2
        for file in _files(path):
            for line, text, words in avoided(file):
                found += 1
                print(f"{file}:{line}: {words!r}: {text.strip()[:120]}")
    if found:
        print(f"{found} lines with words that the project avoids; docs/contributing.md has better ones")
    return 1 if found else 0


def avoided(file: Path) -> Iterator[tuple[int, str, str]]:
    """Line number, line and avoided words of a file."""
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, text in texts(file):
        words = _PATTERN.search(text)
        if words and "prose: allow" not in lines[number - 1]:
            yield number, lines[number - 1], words[0]


def texts(file: Path) -> Iterator[tuple[int, str]]:
    """Line number and text of every line of prose; of Python files only comments and strings that contain a space."""
    text = file.read_text(encoding="utf-8", errors="replace")
    if file.suffix != ".py":
        yield from enumerate(text.splitlines(), 1)
        return
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in kinds and " " in token.string:
            for offset, line in enumerate(token.string.splitlines()):
                yield token.start[0] + offset, line


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.suffix in SUFFIXES and "__pycache__" not in file.parts:
            yield file


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
