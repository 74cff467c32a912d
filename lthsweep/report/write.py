"""Write a report: the figures as SVG and PNG, then the page that holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from lthsweep.errors import StoreError
from lthsweep.report.content import ReportInput
from lthsweep.report.figures import draw_figures
from lthsweep.report.page import page
from lthsweep.store.commit import replace

__all__ = ["ReportPaths", "write_report"]


class ReportPaths(Protocol):
    """The two places of a sweep directory that a report goes to."""

    @property
    def report(self) -> Path:
        """The page."""
        ...

    @property
    def figures(self) -> Path:
        """Folder of the figures."""
        ...


def write_report(sweep: ReportPaths, report: ReportInput, *, max_parts: int = 12) -> list[Path]:
    """Draw everything, then write it; old files of the same names are replaced, others are left alone.

    Args:
        sweep: where to write; `lthsweep.store.layout.SweepDir` is such a thing.
        report: what to show.
        max_parts: combinations of the further axes that get figures; the page says how many did not.

    Returns:
        The files written, the page first.

    Raises:
        StoreError: if a file cannot be written.
    """
    drawings = draw_figures(report, max_parts=max_parts)
    left_out = max(len(report.groups()) - max_parts, 0)
    text = page(report, drawings, left_out=left_out)
    try:
        sweep.figures.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot make the folder {sweep.figures}: {error.strerror or error}; "
            "free space or fix its permissions"
        ) from error
    files = {sweep.figures / f"{drawing.name}.svg": drawing.svg for drawing in drawings}
    files |= {sweep.figures / f"{drawing.name}.png": drawing.png for drawing in drawings}
    # The page last: where it is new, the figures that it names are there.
    files[sweep.report] = text.encode()
    for path, data in files.items():
        # A report can be made again from the table at any time, so it is not worth an fsync per file.
        replace(path, data, durable=False)
    return [sweep.report, *(path for path in files if path != sweep.report)]
