"""`make bench`: the benchmark of the package, its figures in bench.json, its tables in docs/benchmarks.md if asked.

    python -m tests.bench.ladder --size quick
    python -m tests.bench.ladder --size full --document
    python -m tests.bench.ladder --size full --only loop --only memory
    python -m tests.bench.ladder --from bench.json more.json

The last writes figures that were measured before into the page, one file below the other.

What is measured, and how, is in `lthsweep.bench`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from lthsweep.bench.__main__ import main as measure
from lthsweep.bench.table import markdown

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"
FIGURES = ROOT / "bench.json"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def documented(page: str, tables: str) -> str:
    """The page with the tables between its two markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE} needs the markers {BEGIN} and {END}; put them around the tables")
    return f"{before}{BEGIN}\n\n{tables.strip()}\n\n{END}{after}"


def write_page(figures: Sequence[Path]) -> None:
    """Put the tables of figures into docs/benchmarks.md."""
    tables = "\n\n".join(_tables(path) for path in figures)
    PAGE.write_text(documented(PAGE.read_text(encoding="utf-8"), tables), encoding="utf-8")


def _tables(path: Path) -> str:
    try:
        return markdown(json.loads(path.read_text())).strip()
    except (OSError, ValueError, KeyError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise SystemExit(
            f"{path} holds no figures of `make bench` ({reason}); name what --out wrote"
        ) from error


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--from"]:
        write_page([Path(name) for name in arguments[1:]])
        return 0
    document = "--document" in arguments
    status = measure(["--out", str(FIGURES), *(word for word in arguments if word != "--document")])
    if status == 0 and document:
        write_page([FIGURES])
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
