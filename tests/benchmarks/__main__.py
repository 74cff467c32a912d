"""Measure lthsweep against a nested loop: `python -m tests.benchmarks`, behind `make bench`.

python -m tests.benchmarks --size quick --out bench.json
python -m tests.benchmarks --size full --document
python -m tests.benchmarks --size full --only loop --only memory
python -m tests.benchmarks --from bench.json more.json

The last one measures nothing: it writes the figures of earlier runs into docs/benchmarks.md, in the given order.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lthsweep.errors import LthsweepError
from tests.benchmarks.cases import SIZES
from tests.benchmarks.measure import PARTS, measure
from tests.benchmarks.table import markdown

__all__ = ["documented", "main", "write_page"]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the tables, and write the figures; returns the exit status."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="quick", help="quick: six minutes; full: an hour")
    parser.add_argument("--only", choices=PARTS, action="append", default=[], help="a part; can be repeated")
    parser.add_argument("--repeats", type=_positive, help="of each program; default by size")
    parser.add_argument("--out", type=_writable, help="file for the figures, in JSON")
    parser.add_argument("--document", action="store_true", help=f"write the tables into {PAGE.name}")
    parser.add_argument("--from", dest="earlier", type=Path, nargs="+", help="document these files only")
    options = parser.parse_args(arguments)
    if options.earlier:
        write_page(options.earlier)
        return 0
    try:
        found = measure(
            options.size,
            only=options.only,
            repeats=options.repeats,
            progress=lambda line: print(line, file=sys.stderr, flush=True),
        )
    except LthsweepError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    tables = markdown(found)
    print(tables)
    if options.document:
        _write(tables)
    return 0


def write_page(files: Sequence[Path]) -> None:
    """Write the tables of earlier figures into docs/benchmarks.md."""
    _write("\n\n".join(_tables(file) for file in files))


def documented(page: str, tables: str) -> str:
    """The page with the tables between its two markers.

    Raises:
        ValueError: if a marker is missing.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE} needs the markers {BEGIN} and {END}; put them around the tables")
    return f"{before}{BEGIN}\n\n{tables.strip()}\n\n{END}{after}"


def _write(tables: str) -> None:
    PAGE.write_text(documented(PAGE.read_text(encoding="utf-8"), tables), encoding="utf-8")


def _tables(file: Path) -> str:
    try:
        return markdown(json.loads(file.read_text())).strip()
    except (OSError, ValueError, KeyError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise SystemExit(
            f"{file} holds no figures of `make bench` ({reason}); name a file that --out wrote"
        ) from error


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


_positive.__name__ = "whole number >= 1"  # argparse prints this name in its message


def _writable(text: str) -> Path:
    """The path, checked before an hour of measurements."""
    path = Path(text)
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text} cannot be written; name a file in a writable folder")
    return path


if __name__ == "__main__":
    sys.exit(main())
