"""Regenerate the generated parts of the pages: `python docs/refresh.py` (with --check: only compare)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from lthsweep.data.markdown import datasets_markdown, folders_markdown
from lthsweep.reduce.catalog import COLUMNS, columns_markdown
from lthsweep.spec import reference_markdown

DOCS = Path(__file__).parent

GENERATED: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "data.md": {"datasets": datasets_markdown, "folders": folders_markdown},
    "the-file.md": {"reference": reference_markdown},
    "the-table.md": {
        f"columns-of-{table}": partial(columns_markdown, columns) for table, columns in COLUMNS.items()
    },
}
"""Page -> name of a generated part -> function that returns its text.

A part stands between the lines `<!-- NAME:begin -->` and `<!-- NAME:end -->` of its page.
"""


def refreshed(page: str, text: str) -> str:
    """Return the text of a page with its generated parts made anew.

    Args:
        page: file name, a key of `GENERATED`.
        text: the page as it is.

    Raises:
        ValueError: if a marker is missing.
    """
    for name, generate in GENERATED[page].items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(
                f"{page} needs the markers {begin} and {end}; put them around the generated part"
            )
        text = f"{before}{begin}\n\n{generate().strip()}\n\n{end}{after}"
    return text


def main() -> int:
    """Refresh all pages; return 1 if `--check` was given and one is stale."""
    stale = False
    for page in GENERATED:
        path = DOCS / page
        old = path.read_text(encoding="utf-8")
        new = refreshed(page, old)
        if new == old:
            continue
        if "--check" in sys.argv[1:]:
            print(f"{path} is stale: run `python docs/refresh.py`", file=sys.stderr)
            stale = True
        else:
            path.write_text(new, encoding="utf-8")
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
