"""`make bench`: the benchmark of the package, its figures in bench.json, its tables in docs/benchmarks.md if asked.

    python -m tests.bench.ladder --size quick
    python -m tests.bench.ladder --size full --document
    python -m tests.bench.ladder --size full --only loop --only memory

What is measured, and how, is in `lthsweep.bench`; `lthsweep doctor --bench` is the quick one, of an installed package.
"""

from __future__ import annotations

import json
import sys
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


def main(arguments: list[str]) -> int:
    document = "--document" in arguments
    status = measure(["--out", str(FIGURES), *(word for word in arguments if word != "--document")])
    if status == 0 and document:
        tables = markdown(json.loads(FIGURES.read_text()))
        PAGE.write_text(documented(PAGE.read_text(encoding="utf-8"), tables), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
