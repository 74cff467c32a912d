"""Write a report: the figures as SVG and PNG, then the page."""

from __future__ import annotations

from pathlib import Path

from lthsweep.errors import StoreError
from lthsweep.report.content import ReportInput
from lthsweep.report.figures import drawings, rendered
from lthsweep.report.page import page
from lthsweep.store.commit import replace
from lthsweep.store.layout import SweepDir

__all__ = ["write_report"]


def write_report(sweep: SweepDir, report: ReportInput, *, max_combinations: int = 12) -> list[Path]:
    """Draw all figures and write the report; replaces older files of the same names.

    Args:
        sweep: the directory to write to.
        report: what to show.
        max_combinations: combinations of the further axes that get figures; the page counts the others.

    Returns:
        The files written, the page first.

    Raises:
        StoreError: if a file cannot be written.
    """
    figures = drawings(report, max_combinations=max_combinations)
    images = rendered(figures)
    text = page(
        report,
        [(drawing, image.svg) for drawing, image in zip(figures, images, strict=True)],
        without_figure=max(len(report.groups()) - max_combinations, 0),
    )
    try:
        sweep.figures.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot create the directory {sweep.figures}: {error.strerror or error}; "
            "free space or fix its permissions"
        ) from error
    files = {}
    for drawing, image in zip(figures, images, strict=True):
        files[sweep.figures / f"{drawing.name}.svg"] = image.svg
        files[sweep.figures / f"{drawing.name}.png"] = image.png
    # The page last, so that the figures it names exist before it does.
    files[sweep.report] = text.encode()
    for path, data in files.items():
        # A report can be made again from the table, so it does not need an fsync per file.
        replace(path, data, durable=False)
    return [sweep.report, *(path for path in files if path != sweep.report)]
