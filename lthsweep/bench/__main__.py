"""`python -m lthsweep.bench [--size quick] [--out bench.json]`: measure, print the tables, write the figures."""

from __future__ import annotations

import argparse
import json
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
    parser.add_argument("--repeats", type=int, help="of each program; default by size")
    parser.add_argument("--out", type=Path, help="where the figures go, as JSON")
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


if __name__ == "__main__":
    sys.exit(main())
