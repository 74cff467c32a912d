"""`python -m lthsweep.bench [--size quick] [--out bench.json]`: measure, print the tables, write the figures."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from lthsweep.bench.cases import SIZES
from lthsweep.bench.measure import PARTS, bench
from lthsweep.bench.table import markdown
from lthsweep.errors import LthsweepError

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 0, or another status with a message if a program of the benchmark fails.

    Args:
        arguments: of the command line; None for this process's own.
    """
    parser = argparse.ArgumentParser(prog="lthsweep.bench", description=__doc__)
    parser.add_argument(
        "--size", choices=SIZES, default="quick", help="quick takes six minutes, full an hour"
    )
    parser.add_argument("--only", choices=PARTS, action="append", default=[], help="a part; may be repeated")
    parser.add_argument("--repeats", type=_positive, help="of each program; default by size")
    parser.add_argument("--out", type=_writable, help="where the figures go, as JSON")
    options = parser.parse_args(arguments)
    try:
        found = bench(
            options.size,
            only=options.only,
            repeats=options.repeats,
            tell=lambda line: print(line, file=sys.stderr, flush=True),
        )
    except LthsweepError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    print(markdown(found))
    return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


_positive.__name__ = "whole number >= 1"  # what argparse calls it in its message


def _writable(text: str) -> Path:
    """A file that can be written, found out before an hour of measuring."""
    path = Path(text)
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(
            f"{text} cannot be written; name a file in a folder that is there and yours"
        )
    return path


if __name__ == "__main__":
    sys.exit(main())
