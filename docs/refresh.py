"""Write the generated part of docs/the-file.md again: `python docs/refresh.py` (with --check: only compare)."""

from __future__ import annotations

import sys
from pathlib import Path

from lthsweep.spec import reference_markdown

PAGE = Path(__file__).parent / "the-file.md"
BEGIN = "<!-- reference:begin -->"
END = "<!-- reference:end -->"


def refreshed(text: str) -> str:
    """The page with its reference made anew from the fields that read the file.

    Args:
        text: the page as it is.

    Raises:
        ValueError: if the page has lost one of its two markers.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE} needs the markers {BEGIN} and {END}; put them around the reference")
    return f"{before}{BEGIN}\n\n{reference_markdown().strip()}\n\n{END}{after}"


def main() -> int:
    """Refresh the page; 1 if `--check` was given and it is stale."""
    old = PAGE.read_text(encoding="utf-8")
    new = refreshed(old)
    if "--check" in sys.argv[1:]:
        if new != old:
            print(f"{PAGE} is stale: run `python docs/refresh.py`", file=sys.stderr)
        return int(new != old)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
